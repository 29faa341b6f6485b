"""The comparison as a LaTeX table for a paper: a float that fits a column, for booktabs and siunitx."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.configuration.values import identity, word
from ablate.errors import InputError
from ablate.report.contents import Contents
from ablate.report.numbers import DASH, Unit, unit
from ablate.report.tables import in_latex
from ablate.statistics.judgement import Outcome

Cell = Callable[[dict[str, Any]], str]
# Each column: its head, and what it has of a row.
COLUMNS: dict[str, tuple[str, Cell]] = {
    "n": ("$n$", lambda row: str(row["n"])),
    "mean": ("mean", lambda row: row["mean"][1]),
    "interval": (r"95\% CI", lambda row: row["interval"]),
    "difference": ("difference", lambda row: row["difference"][1]),
    "difference_interval": (r"95\% CI", lambda row: row["difference_interval"] if row["pairs"] else ""),
    "p": ("$p$", lambda row: row["p"][1]),
    "verdict": ("verdict", lambda row: row["verdict"]),
    "parameters": ("parameters", lambda row: row["params"][1]),
    "macs": ("multiply-adds", lambda row: row["macs"][1]),
    "time": ("time", lambda row: row["seconds"][1]),
    "flow": ("gradient flow", lambda row: row["flow"]),
}
USUAL = ("mean", "difference", "difference_interval")
_NUMBER = re.compile(r"[+−-]?\d+(\.\d+)?")
CERTAIN = ("better", "worse")


@dataclass(frozen=True)
class Paper:
    """What the table has: the columns, or, of a choice, its values side by side."""

    columns: Sequence[str] = USUAL
    pivot: str | None = None


def table(made: Contents, paper: Paper | None = None) -> str:
    """The float, with caption, label and a note on seeds and test. Raises InputError for a pivot that does not vary."""
    paper = paper or Paper()
    comparison = made.comparison
    heads, rows = _pivoted(comparison, paper.pivot) if paper.pivot else _listed(made, paper.columns)
    kinds = [_kind([row[i] for row in rows]) for i in range(1, len(heads))]
    lines = [
        r"% \usepackage{booktabs,siunitx}",
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_caption(comparison, paper)}}}",
        rf"\label{{tab:{re.sub('[^a-z0-9]+', '-', comparison.metric.lower())}}}",
        rf"\begin{{tabular}}{{@{{}}>{{\raggedright\arraybackslash}}p{{0.31\columnwidth}}{''.join(kinds)}@{{}}}}",
        r"\toprule",
        " & ".join(["variant", *(f"{{{head}}}" for head in heads[1:])]) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _listed(made: Contents, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    best = _best(made.comparison, [v for v in made.comparison.variants if not v.lost])
    rows = []
    for row in made.rows:
        cells = [_name(row)]
        for name in columns:
            text = _said(COLUMNS[name][1](row))
            if name == "mean" and row["label"] in best:
                text = rf"{{\bfseries {text}}}"
            if name == "difference" and row["verdict"] in CERTAIN:
                text += r" {$^{*}$}" if _NUMBER.fullmatch(row["difference"][1]) else ""
            cells.append(text)
        rows.append(cells)
    of = made.unit.of_value.strip()
    heads = [COLUMNS[name][0] + (rf" ({in_latex(of)})" if name == "mean" and of else "") for name in columns]
    return ["", *heads], rows


def _pivoted(comparison: Comparison, key: str) -> tuple[list[str], list[list[str]]]:
    """Designs by the values of one choice: means, the best of each column in bold."""
    if key not in comparison.factors or len(comparison.factors) < 2:
        others = ", ".join(comparison.factors)
        raise InputError(f"--pivot {key}: it takes a choice that varies, beside another. Those that do: {others}.")
    of = unit(comparison.metric)
    designs: dict[str, dict[str, Variant]] = {}
    for variant in comparison.variants:
        rest = {k: v for k, v in variant.assignment.items() if k != key}
        name = " ".join(f"{k}={word(v)}" for k, v in rest.items())
        designs.setdefault(name, {})[identity(variant.assignment[key])] = variant
    values = [identity(value) for value in comparison.factors[key]]
    best = {
        label
        for value in values
        for label in _best(comparison, [found[value] for found in designs.values() if value in found])
    }
    rows = [
        [_breakable(name), *(_mean(found.get(value), of, best) for value in values)] for name, found in designs.items()
    ]
    return ["", *(in_latex(word(value)) for value in comparison.factors[key])], rows


def _mean(variant: Variant | None, of: Unit, best: set[str]) -> str:
    if variant is None or variant.estimate.mean is None:
        return "{--}"
    text = _said(of.value(variant.estimate.mean))
    text = rf"{{\bfseries {text}}}" if variant.label in best else text
    return text + (r" {$^{*}$}" if variant.verdict in CERTAIN else "")


def _best(comparison: Comparison, variants: Sequence[Variant]) -> set[str]:
    known = [(comparison.sign * v.estimate.mean, v.label) for v in variants if v.estimate.mean is not None]
    return {label for value, label in known if value == max(known)[0]}


def _name(row: dict[str, Any]) -> str:
    return _breakable(row["choices"] or "baseline") if row["is_baseline"] else _breakable(row["label"])


def _breakable(text: str) -> str:
    """Lines of long names break behind their signs."""
    return re.sub(r"(=|\\_)", r"\1\\allowbreak{}", in_latex(text))


def _said(text: str) -> str:
    """A number as siunitx reads it; words and intervals in braces."""
    if text in ("", DASH):
        return "{--}" if text else "{}"
    return text.replace("−", "-") if _NUMBER.fullmatch(text) else f"{{{in_latex(text)}}}"


def _kind(cells: Sequence[str]) -> str:
    """The column's type: S with room for its numbers, or centred words."""
    numbers = [found[0] for cell in cells if (found := re.search(r"[+-]?\d+(\.\d+)?(?=\s|\}|$)", cell))]
    is_number = numbers and all(re.match(r"(\{\\bfseries )?[+-]?\d|\{--\}$|\{\}$", cell) for cell in cells)
    if not is_number:
        return "c"
    whole = max(len(number.lstrip("+-").partition(".")[0]) for number in numbers)
    decimals = max(len(number.partition(".")[2]) for number in numbers)
    sign = "+" if any(number[0] in "+-" for number in numbers) else ""
    star = r",table-space-text-post={$^{*}$}" if any("^{*}" in cell for cell in cells) else ""
    return f"S[table-format={sign}{whole}{f'.{decimals}' if decimals else ''}{star}]"


def _caption(comparison: Comparison, paper: Paper) -> str:
    """What is compared, over how many seeds, and by which test."""
    counts = sorted({variant.estimate.n for variant in comparison.variants})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    tests = {v.test.name for v in comparison.variants if v.test and v.test.outcome is not Outcome.FEW}
    by = f" ({in_latex('; '.join(sorted(tests)))})" if tests else ""
    paired = ", paired by seed" if comparison.is_paired else ""
    of = unit(comparison.metric)
    pivot = f" by {in_latex(paper.pivot)}" if paper.pivot else ""
    in_unit = f", differences in {in_latex(of.of_difference)}" if of.of_difference.strip() else ""
    baseline = in_latex(" ".join(f"{key}={word(value)}" for key, value in comparison.baseline.choices.items()))
    return (
        f"{in_latex(comparison.metric)}{pivot}: means of $n = {n}$ runs{in_unit}."
        f" The baseline is {baseline}; differences to it{paired}. Bold: the best mean."
        rf" $^{{*}}$: different from the baseline at 5\% after Holm's correction for {comparison.family} tests{by}."
    )
