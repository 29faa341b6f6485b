"""The page's main table: a column for each choice, every seed on one axis, the verdict by a sign and a colour."""

from collections import Counter
from typing import Any

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.configuration.values import identity, word
from ablate.report.answering.extremes import order
from ablate.report.answering.findings import LEARN, guesses
from ablate.report.answering.gloss import gloss
from ablate.report.answering.phrases import short
from ablate.report.drawing import seeds
from ablate.report.drawing.seeds import Axis
from ablate.report.numbers import Unit, unit
from ablate.statistics.judgement import EQUIVALENT

CHOICES = 5  # columns of choices; of more there is one column that names what differs
UP, DOWN = "▲", "▼"
SIGNS = {EQUIVALENT: "≈", "baseline": "", "diverged": "✕", "lost": "✕"}
KINDS = {"better", "worse", EQUIVALENT, "baseline"}


def heads(comparison: Comparison) -> list[str]:
    """Of the columns of choices."""
    if not 0 < len(comparison.factors) <= CHOICES:
        return ["variant"]
    return [short(comparison, factor) for factor in comparison.factors]


def lines(comparison: Comparison, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Axis | None]:
    """The rows of `contents`, the best first, with what the table shows besides; and the axis of their drawings."""
    of = unit(comparison.metric).to(*(variant.estimate.interval for variant in comparison.variants))
    changes = unit(comparison.metric).to(*(v.difference.interval for v in comparison.variants if v.difference))
    along = _axis(comparison, of)
    by_label = {variant.label: variant for variant in comparison.variants}
    ranks = {variant.label: rank for rank, variant in enumerate(order(comparison))}
    shown = sorted(enumerate(rows), key=lambda item: ranks.get(item[1]["label"], len(ranks)))
    return [
        row
        | {"place": place, "cells": _cells(comparison, by_label[row["label"]])}
        | _shown(comparison, by_label[row["label"]], of, changes, along)
        for place, row in shown
    ], along


def _shown(comparison: Comparison, variant: Variant, of: Unit, changes: Unit, along: Axis | None) -> dict[str, Any]:
    difference, baseline = variant.difference, comparison.baseline.estimate.mean
    return {
        "average": of.value(variant.estimate.mean),
        "change": changes.change(difference.mean) if difference else "",
        "change_interval": changes.interval(difference.interval, changes=True)
        if difference and difference.interval and variant.test and variant.test.has_interval
        else "",
        "sign": _sign(comparison, variant),
        "kind": variant.verdict if variant.verdict in KINDS else "lost" if variant.lost else "open",
        "fate": fate(comparison, variant),
        "drawn": _drawn(comparison, variant, along, baseline) if along else None,
    }


def _sign(comparison: Comparison, variant: Variant) -> str:
    """An arrow the way the metric goes, which of a loss is down where it is better."""
    if variant.verdict in ("better", "worse"):
        return UP if (variant.verdict == "better") == (comparison.sign > 0) else DOWN
    return SIGNS.get(variant.verdict, "?")


def fate(comparison: Comparison, variant: Variant) -> str:
    """What became of seeds that did not simply end: `5 of 8 never learn`."""
    ended = len(variant.values) + len(variant.lost)
    counts = Counter(entry.status for entry in variant.entries)
    said = [f"{counts[status]} of {ended} {status}" for status in ("diverged", "stopped") if counts[status]]
    if variant.low and len(variant.low) <= ended:
        said.append(f"{len(variant.low)} of {ended} {LEARN[0] if guesses(comparison, variant) else 'end low'}")
    return ", ".join(said)


def _cells(comparison: Comparison, variant: Variant) -> list[dict[str, Any]]:
    """A value for each choice, whether it differs from the baseline's, and what it is, where its file says that."""
    if heads(comparison) == ["variant"]:
        return [{"word": variant.label, "differs": not variant.is_baseline, "gloss": ""}]
    before, without = comparison.baseline.assignment, variant.entries[0].without
    folders = variant.results[0].record.search_path if variant.results else []
    return [
        {
            "word": "–" if key in without else word(value),
            "differs": identity(value) != identity(before[key]),
            "gloss": gloss(key.lstrip("+"), word(value), folders) if key not in without else "",
        }
        for key, value in variant.assignment.items()
    ]


def _axis(comparison: Comparison, of: Unit) -> Axis | None:
    values = [value for variant in comparison.variants for value in variant.values.values()]
    for variant in comparison.variants:
        if variant.estimate.interval and _has_interval(variant):
            values += [of.possible(end) for end in variant.estimate.interval]
    lost = max(len(variant.lost) for variant in comparison.variants)
    return seeds.axis(values, of, comparison.sign, lost) if values else None


def _has_interval(variant: Variant) -> bool:
    """Student's interval of the mean says nothing where seeds are lost or fall into two groups."""
    return not variant.lost and not variant.is_split


def _drawn(comparison: Comparison, variant: Variant, along: Axis, baseline: float | None) -> Any:
    lost = {entry.seed: entry.status for entry in variant.entries if entry.seed in set(variant.lost)}
    interval = variant.estimate.interval if _has_interval(variant) else None
    return seeds.row(variant.label, variant.values, lost, variant.estimate.mean, interval, baseline, along)
