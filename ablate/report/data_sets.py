"""The table of designs by data sets, for the page, in Markdown and in LaTeX."""

from ablate.comparison.across import Across
from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.report.numbers import DASH, unit
from ablate.report.tables import in_latex, in_markdown


def heads(across: Across) -> list[str]:
    return ["design", *across.data]


def rows(across: Across) -> list[list[str]]:
    """The baseline by its means; of the others the mean, the difference on the same data and the verdict."""
    return [[label, *map(_cell, variants)] for label, variants in across.designs.items()]


def _cell(variant: Variant | None) -> str:
    if variant is None:
        return DASH
    of = unit(variant.metric)
    mean = of.value(variant.estimate.mean)
    if variant.is_baseline or variant.difference is None:
        return mean if variant.is_baseline else f"{mean} ({variant.verdict})"
    return f"{mean} ({of.change(variant.difference.mean)}, {variant.verdict})"


def caption(across: Across, comparison: Comparison) -> str:
    """What stands above the table."""
    metric = comparison.metric
    of = unit(metric).of_value.strip()
    paired = ", paired by seed" if comparison.is_paired else ""
    return (
        f"{metric}{f' in {of}' if of else ''}; in brackets the difference to the baseline on the same data{paired}, "
        f"and the verdict, corrected by Holm for the {across.family} tests on all data sets."
    )


def markdown(across: Across, comparison: Comparison) -> str:
    lines = [heads(across), ["---"] + ["---:"] * len(across.data)]
    lines += [[in_markdown(cell) for cell in row] for row in rows(across)]
    return f"{in_markdown(caption(across, comparison))}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(across: Across, comparison: Comparison) -> str:
    """A tabular for booktabs."""
    head, *body = (" & ".join(map(in_latex, line)) + r" \\" for line in (heads(across), *rows(across)))
    lines = [f"% {in_latex(caption(across, comparison))}", rf"\begin{{tabular}}{{l{'r' * len(across.data)}}}"]
    return "\n".join([*lines, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""])
