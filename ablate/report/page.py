"""The report as one HTML file that needs nothing else: no server, no network, no script but its own."""

import base64
import hashlib
import re
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ablate.comparison.simple import act_together
from ablate.configuration.values import word
from ablate.report import data_sets, main_table
from ablate.report.answering.sure import how_sure
from ablate.report.contents import Contents
from ablate.report.drawing.seeds import Axis
from ablate.report.drawing.svg import Drawing, fill, stroke
from ablate.report.illustrations import Figure, Kind
from ablate.report.numbers import unit

HERE = Path(__file__).parent
MORE = (
    ("p", "of the test below it, corrected by Holm"),
    ("sign flips", "p of the exact sign-flip test, not corrected"),
    ("better on a fresh seed", "the share of seeds in which it did better than the baseline; a diverged run did worse"),
    ("detectable", "the true difference that these seeds would find with 80% probability"),
    ("parameters", "of the network; below, multiply-adds of one forward of one image"),
    ("time", "of the training, median"),
    ("gradient flow", "how many runs were judged what"),
    ("seeds", "finished; below, what became of the others"),
)
TITLE = 110  # characters of the answer in the page's title
# What a choice does to the metric, to be seen at a glance in a sentence.
NUMBER = re.compile(r"((?:costs|gains|takes|raises \S+ by|lowers \S+ by|worse by|better by) )([\d.,]+(?: points| s)?)")


def render(made: Contents) -> str:
    """The page. Whatever comes from runs is escaped by the template; drawings escape their own text."""
    comparison = made.comparison
    script = (HERE / "page.js").read_text(encoding="utf-8")
    lines, along = main_table.lines(comparison, made.rows)
    lines = [line | {"details": _details(line)} for line in lines]
    question, background = _question(comparison.question or f"Comparison of {comparison.source}")
    beside, further = _interactions(made)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    paired = ", paired by seed" if comparison.is_paired else ""
    template = _environment().get_template("page.html")
    return template.render(
        title=f"{comparison.metric}: {_short(made.answer[0])}",
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
        question=question,
        background=background,
        answers=[_led(sentence, i == 0) for i, sentence in enumerate(made.answer)],
        sure=how_sure(comparison),
        lines=lines,
        scale=_scale(along),
        choice_heads=main_table.heads(comparison),
        more=MORE,
        any_lost=comparison.count("diverged", "stopped") > 0,
        beside=beside,
        further=further,
        paired=paired,
        total_runs=sum(len(variant.entries) for variant in comparison.variants),
        baseline_choices=next(row["choices"] for row in made.rows if row["is_baseline"]),
        tests=comparison.family,
        hidden_rows=len(comparison.variants) - len(made.rows),
        chips=[
            {"series": series, "label": label, "swatch": swatch(series)}
            for series, label in zip(made.drawn, made.labels, strict=True)
        ],
        key=_key,
        groups=_groups(made),
        written=datetime.now().astimezone().isoformat(timespec="minutes"),
    )


def _groups(made: Contents) -> list[tuple[str, list[Figure], str]]:
    """The pictures of runs: a title, the figures, what they show."""
    groups = [
        (
            "Learning curves",
            made.of(Kind.CURVE),
            "The mean over the seeds; the band reaches from the lowest to the highest. "
            "Runs that diverged are dotted, up to a cross. By step: smoothed, the mean of each stretch behind it.",
        ),
        (
            f"{made.comparison.metric} against cost",
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
    ]
    if made.comparison.told:
        kept = "As drawn when the runs were there."
        return [(title, found, said if title.endswith("against cost") else kept) for title, found, said in groups]
    return groups


def _short(sentence: str) -> str:
    """What has room in a tab: the first sentence, without what stands in brackets, cut between words."""
    first = re.sub(r"\s+\([^()]*\)", "", sentence).partition(". ")[0]
    return shorten(first, TITLE, placeholder=" …")


def _question(text: str) -> tuple[str, str]:
    """What is asked, and what is said besides."""
    asked, mark, rest = text.partition("?")
    return (asked + mark, rest.strip()) if mark else (text, "")


def _led(said: str, is_first: bool) -> tuple[str, Markup]:
    """Of the first paragraph a short first sentence, and the rest with its numbers in bold."""
    lead, full, rest = said.partition(". ")
    if not (full and is_first) or len(lead) > 100:
        lead, rest = "", said
    parts = NUMBER.split(rest)  # text, then the word and the number of each
    marked = [escape(part) if i % 3 < 2 else Markup("<strong>{}</strong>").format(part) for i, part in enumerate(parts)]
    return f"{lead}." if lead else "", Markup("").join(marked)


def _scale(along: Axis | None) -> Markup:
    """The labels of the table's axis."""
    spans = [Markup('<span style="left: {}%">{}</span>').format(*tick) for tick in (along.ticks() if along else ())]
    return Markup('<span class="scale" aria-hidden="true">{}</span>').format(Markup("").join(spans))


def _details(row: dict[str, Any]) -> list[tuple[str, float | None, str, str]]:
    """What opens: head, what is sorted by, what stands below, what is said."""
    has_p = row["p"][0] is not None
    others = [f"{row[word]} {word}" for word in ("diverged", "stopped", "failed", "low") if row[word]]
    cells = (
        (row["p"][0], row["test"] if has_p else "", row["p"][1]),
        (row["p_sign_flip"][0], "", row["p_sign_flip"][1]),
        (row["better"][0], row["better_interval"] if row["better"][0] is not None else "", row["better"][1]),
        (row["detectable"][0], "", row["detectable"][1]),
        (row["params"][0], row["macs"][1], row["params"][1]),
        (row["seconds"][0], "", row["seconds"][1]),
        (None, "", row["flow"]),
        (row["n"], ", ".join(others), str(row["n"])),
    )
    return [(head, *cell) for (head, _), cell in zip(MORE, cells, strict=True)]


def _interactions(made: Contents) -> tuple[list[Figure], list[Figure]]:
    """The plots of choices that certainly act together, which belong to the table, and the others."""
    together = [set(pair) for pair in act_together(made.comparison)]
    plots = made.of(Kind.INTERACTION)
    return [f for f in plots if set(f.of) in together], [f for f in plots if set(f.of) not in together]


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
