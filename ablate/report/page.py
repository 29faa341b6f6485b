"""The report as one HTML file that needs nothing else: no server, no network, no script but its own."""

import base64
import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ablate.configuration.values import word
from ablate.report import data_sets
from ablate.report.contents import Contents
from ablate.report.drawing.svg import Drawing, fill, stroke
from ablate.report.illustrations import Kind
from ablate.report.numbers import unit

HERE = Path(__file__).parent
HEADS = (
    ("variant", "by what it differs from the baseline; its finished runs"),
    ("{metric}", "mean over the seeds, 95% interval below"),
    ("difference", "to the baseline{paired}, 95% interval below"),
    ("", ""),
    ("verdict", "after Holm's correction for everything that is tested, at 5%"),
    (
        "p",
        "corrected by Holm; below it the exact sign-flip test, not corrected, or the test that p is of",
    ),
    (
        "better on a fresh seed",
        "the share of seeds in which it did better than the baseline; a diverged run did worse than any other",
    ),
    ("detectable", "the true difference that these seeds would find with 80% probability"),
    ("parameters, multiply-adds", "of the network; of one forward of one image"),
    ("time", "of the training, median"),
    ("gradient flow", "how many runs were judged what"),
    (
        "diverged, low, failed",
        "diverged: the loss stopped being finite, a result but without an accuracy; low: in the lower of two groups of "
        "seeds; failed: an error",
    ),
    ("differs besides", "what is not the same as in the baseline's runs, apart from the choice"),
)


def render(made: Contents) -> str:
    """The page. Whatever comes from runs is escaped by the template; drawings escape their own text."""
    comparison = made.comparison
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    paired = ", paired by seed" if comparison.is_paired else ""
    template = _environment().get_template("page.html")
    return template.render(
        title=f"{comparison.metric}: {made.answer[0]}"[:120],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        made=made,
        pair=made.pair,
        across=_across(made),
        typed=word,
        unit=unit,
        c=comparison,
        kind=Kind,
        heads=_heads(made, paired),
        left=(*made.choices, "verdict", "gradient flow", "diverged, low, failed", "differs besides"),
        total_runs=sum(len(variant.entries) for variant in comparison.variants),
        baseline_choices=made.rows[0]["choices"],
        tests=comparison.family,
        hidden_rows=len(comparison.variants) - len(made.rows),
        chips=[
            {"series": series, "label": label, "swatch": swatch(series)}
            for series, label in zip(made.drawn, made.labels, strict=True)
        ],
        key=_key,
        groups=[
            (
                "Learning curves",
                made.of(Kind.CURVE),
                "The mean over the seeds; the band reaches from the lowest to the highest. "
                "Runs that diverged are dotted, up to a cross.",
            ),
            (
                f"{comparison.metric} against cost",
                made.of(Kind.COST),
                "Ringed and joined: what no other variant beats in both, the Pareto front.",
            ),
            (
                "Gradient flow over depth",
                made.of(Kind.PROFILE),
                "The root mean square (RMS) of each layer's gradient, the geometric mean over the training; the band"
                " reaches over the seeds. Layers with a matrix or a kernel only: no norms.",
            ),
            (
                "Gradient flow over the training",
                [*made.of(Kind.SCALE), *made.of(Kind.MAP)],
                "How much of the head's gradient reaches each layer, the image's end at the top: blue where it fades,"
                " white where it is even, orange where it grows, hatched where it is not finite. The scale is the same"
                " in every report. To the right: each layer's RMS at the start, the middle and the end, from light to"
                " dark. Where seeds split, each outcome has a map.",
            ),
        ],
        written=datetime.now().astimezone().isoformat(timespec="minutes"),
    )


def _heads(made: Contents, paired: str) -> list[tuple[str, str]]:
    metric = made.comparison.metric
    first, *others = ((head.format(metric=metric), explained.format(paired=paired)) for head, explained in HEADS)
    return [first, *((choice, "the choice's value in this variant") for choice in made.choices), *others]


def swatch(series: int) -> Drawing:
    drawing = Drawing(22, 10, "")
    del drawing.root.attrib["role"], drawing.root.attrib["aria-label"]
    drawing.add("line", x1=0, y1=5, x2=22, y2=5, stroke_width=3, **stroke(series))
    drawing.add("circle", cx=11, cy=5, r=3.5, **fill(series))
    return drawing


def _key(drawing: Drawing) -> list[dict[str, Any]]:
    return [{"label": label, "swatch": swatch(series)} for series, label in enumerate(drawing.key)]


def _across(made: Contents) -> dict[str, Any] | None:
    """The table of designs by data sets."""
    if made.across is None:
        return None
    caption = data_sets.caption(made.across, made.comparison)
    return {"caption": caption, "heads": data_sets.heads(made.across), "rows": data_sets.rows(made.across)}


def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
