"""The comparison as JSON, as a table in markdown and LaTeX, and on the terminal."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from ablate.comparison.across import Across
from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.configuration.values import without_nan
from ablate.report.contents import Contents
from ablate.report.in_rounds import decision
from ablate.report.numbers import DASH
from ablate.report.terminal.markup import plain
from ablate.report.terminal.narrow import fits, fitted, without
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import Test
from ablate.statistics.paired import Difference, Estimate

COLUMNS = (
    "variant",
    "n",
    "mean",
    "95% CI",
    "difference",
    "95% CI",
    "p (Holm)",
    "verdict",
    "parameters",
    "multiply-adds",
    "time",
    "gradient flow",
    "diverged",
    "stopped",
    "failed",
)
CHOICES, MOST = 4, 40  # so many choices have columns, and so many variants rows, on the terminal
LOST = ("diverged", "stopped", "failed")


def as_json(made: Contents) -> dict[str, Any]:
    """Everything, in the metric's own units; null where there is no such number."""
    comparison = made.comparison
    return without_nan(
        {
            "question": comparison.question,
            "answer": made.answer,
            "notes": made.notes,
            "made": made.made,
            "source": comparison.source,
            "metric": comparison.metric,
            "goal": comparison.goal,
            "chance": comparison.chance,
            "margin": comparison.margin,
            "tests": comparison.family,
            "paired": comparison.is_paired,
            "factors": comparison.factors,
            "baseline": comparison.baseline.assignment,
            "why_baseline": comparison.why_baseline,
            "variants": [_variant(variant, comparison) for variant in comparison.variants],
            "data_sets": _across(made.across) if made.across else None,
            "effects": [_effect(effect) for effect in comparison.effects],
            "variance": comparison.variance,
            "rounds": asdict(comparison.rounds) if comparison.rounds else None,
            "mixtures": comparison.mixtures,
        }
    )


def _variant(variant: Variant, comparison: Comparison) -> dict[str, Any]:
    better = variant.outperforming
    return {
        "label": variant.label,
        "assignment": variant.assignment,
        "without": sorted(variant.entries[0].without),
        "is_baseline": variant.is_baseline,
        **_estimate(variant.estimate),
        "verdict": variant.verdict,
        "decision": decision(variant, comparison),
        "test": _test(variant.test, variant.p_holm) if variant.test else None,
        "p_equivalent": variant.p_equivalent,
        "low_seeds": sorted(variant.low),
        "difference": _difference(variant.difference, variant.p_holm, comparison.level) if variant.difference else None,
        "paired_seeds": variant.paired_seeds,
        "outperforms": {"share": better.share, "n": better.n, "interval": better.interval} if better else None,
        "cost": {name: variant.cost(name) for name in ("params", "macs", "seconds")},
        "gradient_flow": variant.gradient_flow,
        "confounds": variant.confounds,
        "command": variant.command(),
        "runs": [
            {
                "seed": entry.seed,
                "status": entry.status,
                "value": variant.values.get(entry.seed),
                "reason": entry.reason,
                "fingerprint": entry.result.fingerprint if entry.result else None,
                "directory": entry.result.place if entry.result else None,
                "gradient_flow": entry.result.record.gradient_flow if entry.result else None,
                "superseded": [result.place for result in entry.superseded],
            }
            for entry in variant.entries
        ],
    }


def _across(across: Across) -> dict[str, Any]:
    """By design and data set; null where one was not run."""

    def cell(variant: Variant | None) -> dict[str, Any] | None:
        if variant is None:
            return None
        difference = variant.difference
        interval = difference.interval if difference else None
        known = {"difference": difference.mean if difference else None, "interval": interval}
        return _estimate(variant.estimate) | {"change": known, "p_holm": variant.p_holm, "verdict": variant.verdict}

    designs = {label: [cell(variant) for variant in variants] for label, variants in across.designs.items()}
    return {"data": across.data, "tests": across.family, "designs": designs}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"n": estimate.n, "mean": estimate.mean, "interval": estimate.interval, "deviation": estimate.deviation}


def _difference(difference: Difference, p_holm: float | None, level: float) -> dict[str, Any]:
    return _estimate(difference) | {
        "p": difference.p,
        "p_holm": p_holm,
        "p_sign_flip": difference.p_sign_flip,
        "least_p_sign_flip": difference.least_p_sign_flip,
        "detectable": difference.detectable(level),
    }


def _test(test: Test, p_holm: float | None) -> dict[str, Any]:
    """Pairs are of the variant, or of the changed value, and of the baseline."""
    return {
        "name": test.name,
        "seeds_are": test.outcome,
        "n": test.n,
        "p": test.p,
        "p_holm": p_holm,
        "direction": test.direction,
        "diverged": test.lost,
        "low": test.low,
        "p_fisher": test.p_fallen,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "factors": effect.factors,
        "values": effect.values,
        "baseline": effect.baseline,
        "seeds": effect.seeds,
        "contexts": effect.contexts,
        "possible_contexts": effect.possible,
        "left_out": [{"where": left.where, "diverged": left.diverged, "ended": left.ended} for left in effect.left_out],
        "missing_runs": effect.missing,
        "verdict": effect.verdict if len(effect.factors) == 1 else None,
        "test": _test(effect.test, effect.p_holm),
        **_estimate(effect.difference),
        "p": effect.difference.p,
        "p_holm": effect.p_holm,
        "p_equivalent": effect.p_equivalent,
        "aliases": None
        if effect.aliases is None
        else [{"interaction": pair, "weight": weight} for pair, weight in effect.aliases],
    }


def markdown(made: Contents) -> str:
    lines = [list(map(in_markdown, _heads(made))), ["---"] * (1 + len(made.choices)) + ["---:"] * (len(COLUMNS) - 1)]
    lines += [[in_markdown(cell) for cell in _line(row, made)] for row in made.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{in_markdown(' '.join(made.answer))}\n\n{table}\n"


def show(made: Contents, page: str) -> None:
    """The answer and the main table, as wide as the terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 180
    console.print()
    for i, sentence in enumerate(made.answer):
        console.print(plain(sentence), style="bold" if i == 0 else None)
    # An interval stands below its difference where beside it the labels would be cut.
    beside, below = (_table(made, between) for between in (" ", "\n"))
    spare = ("gradient flow", "time", "parameters", *made.choices, "p", "n", *LOST)
    console.print()
    console.print(fitted(beside if fits(beside, console, spare) else below, console, spare))
    left = len(made.comparison.variants) - min(MOST, len(made.rows))
    if left > 0:
        console.print(f"[dim]and {left} more variants: see the report[/dim]")
    console.print()
    for note in (*made.notes, *([made.made] if made.made else [])):
        console.print(f"[dim]{plain(note)}[/dim]")
    console.print(f"report: {plain(page)}", soft_wrap=True)


def _table(made: Contents, between: str) -> Table:
    """The main table for a terminal. between: a difference and its interval."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left")
    heads = ["variant", "n", made.comparison.metric, f"difference,{between}95% CI", "p", "verdict"]
    heads += ["parameters", "time", "gradient flow"]
    lost = [word for word in LOST if any(row[word] for row in made.rows)]
    # Beside what differs, the values of all choices, where there is room for them.
    choices = made.choices if len(made.choices) <= CHOICES else []
    heads[1:1] = choices
    for head in (*heads, *lost):
        is_text = head in ("variant", "verdict", "gradient flow", *choices)
        table.add_column(plain(head), justify="left" if is_text else "right")
    for row in made.rows[:MOST]:
        change = f"{row['difference'][1]}{between}[dim]{row['difference_interval']}[/dim]" if row["pairs"] else ""
        kind = "bold" if row["verdict"] in ("better", "worse") else "dim"
        table.add_row(
            plain(_name(row)),
            *(map(plain, row["values"]) if choices else ()),
            str(row["n"]),
            row["mean"][1],
            change,
            row["p"][1],
            f"[{kind}]{row['verdict']}[/]",
            row["params"][1],
            row["seconds"][1],
            plain(row["flow"]),
            *(str(row[word] or "") for word in lost),
        )
    unknown = {"parameters": "params", "time": "seconds", "gradient flow": "flow"}
    empty = [head for head, name in unknown.items() if all(DASH in (row[name], row[name][-1]) for row in made.rows)]
    return without(table, empty)


def _heads(made: Contents) -> list[str]:
    of = made.unit.of_value.strip()
    variant, *others = (f"{column} ({of})" if column == "mean" and of else column for column in COLUMNS)
    return [variant, *made.choices, *others]


def _line(row: dict[str, Any], made: Contents) -> list[str]:
    pairs = ("difference", "p", "params", "macs", "seconds", "mean")
    said = {name: row[name][1] for name in pairs}
    return [
        _name(row),
        *(row["values"] if made.choices else []),
        str(row["n"]),
        said["mean"],
        row["interval"],
        said["difference"],
        row["difference_interval"],
        said["p"],
        row["verdict"],
        said["params"],
        said["macs"],
        said["seconds"],
        row["flow"],
        str(row["diverged"]),
        str(row["stopped"]),
        str(row["failed"]),
    ]


def _name(row: dict[str, Any]) -> str:
    """The baseline by its choices, the others by how they differ from it."""
    return f"baseline: {row['choices']}" if row["is_baseline"] and row["choices"] else str(row["label"])


def in_markdown(text: str) -> str:
    for special in "\\`*_[]<>|":
        text = text.replace(special, "\\" + special)
    return " ".join(text.split())


def in_latex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "−": "$-$",
        "–": "--",
        "…": r"\dots{}",
    } | {c: f"\\{c}" for c in "&%$#_{}"}
    return " ".join("".join(special.get(c, c) for c in text).split())
