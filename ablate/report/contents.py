"""What a report shows of a comparison, in words and drawings: the same for the page, the files and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from ablate.comparison.comparison import Comparison
from ablate.comparison.pair import Pair
from ablate.comparison.series import Gradients, curve, gradients
from ablate.comparison.variants import Entry, Variant
from ablate.configuration.values import word
from ablate.paths import relative
from ablate.report.answer import answer
from ablate.report.drawing import figures
from ablate.report.drawing import gradients as gradient_figures
from ablate.report.drawing.figures import Row
from ablate.report.drawing.svg import SERIES, Drawing
from ablate.report.notes import circumstances, notes
from ablate.report.numbers import DASH, Unit, count, duration, p_value, percent, unit
from ablate.runs.record import RunRecord
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import Outcome, Test
from ablate.statistics.paired import Difference, Estimate

# What a page holds at most, however many runs there are; comparison.json holds everything.
ROWS = 200
RUNS = 24
DRAWN = 13
EFFECTS = 30
PAIRS = 6


@dataclass
class Contents:
    """A comparison, and what is shown of it.

    made     where and how long the runs were trained
    rows     of the main table
    drawn    the variants that have a curve, by their series: 0 is the baseline
    figures  drawings by the names of their files
    pair     what two runs or variants side by side have besides
    """

    comparison: Comparison
    answer: list[str]
    notes: list[str]
    made: str
    rows: list[dict[str, Any]]
    drawn: dict[int, Variant]
    labels: list[str]
    figures: dict[str, Drawing] = field(default_factory=dict)
    pair: Pair | None = None

    @property
    def unit(self) -> Unit:
        return unit(self.comparison.metric)


def contents(comparison: Comparison, pair: Pair | None = None) -> Contents:
    of = unit(comparison.metric)
    compared = [variant for variant in comparison.variants if variant.difference]
    strips = [forest_row(variant, of) for variant in compared]
    shown = _most_telling(comparison, ROWS)
    drawn = dict(enumerate(_most_telling(comparison, DRAWN)))
    made = Contents(
        comparison=comparison,
        answer=answer(comparison),
        notes=notes(comparison),
        made=circumstances(comparison),
        rows=[row(variant, comparison, of) | {"strip": _strip(variant, of, strips)} for variant in shown],
        drawn=drawn,
        labels=[variant.label for variant in drawn.values()],
        pair=pair,
    )
    _draw_effects(made)
    _draw_curves(made)
    _draw_costs(made)
    _draw_gradients(made)
    return made


def row(variant: Variant, comparison: Comparison, of: Unit) -> dict[str, Any]:
    """A variant's numbers as words, and the numbers that a column is sorted by."""
    estimate, difference, better, test = variant.estimate, variant.difference, variant.outperforming, variant.test
    p_flip = difference.p_sign_flip if difference else None
    detectable = difference.detectable(comparison.level) if difference and test and test.has_interval else None
    interval = of.interval(difference.interval if difference else None, changes=True)
    ended = len(variant.seeds("finished", "diverged", "failed"))
    return {
        "label": variant.label,
        "is_baseline": variant.is_baseline,
        "choices": " ".join(f"{key}={word(value)}" for key, value in variant.choices.items()),
        "n": estimate.n,
        "mean": (estimate.mean, of.value(estimate.mean)),
        "interval": _interval(variant, of),
        "difference": (difference.mean if difference else None, of.change(difference.mean if difference else None)),
        "difference_interval": interval if test is None or test.has_interval else str(test.outcome),
        "pairs": difference.n if difference else 0,
        "p": (variant.p_holm, p_value(variant.p_holm)),
        "test": test.name if test else "",
        "p_sign_flip": (p_flip, p_value(p_flip)),
        "verdict": variant.verdict,
        "better": (better.share if better else None, percent(better.share if better else None)),
        "better_interval": " to ".join(percent(end) for end in better.interval) if better else DASH,
        "detectable": (detectable, of.value(detectable)),
        "params": _counted(variant.cost("params")),
        "macs": _counted(variant.cost("macs")),
        "seconds": (variant.cost("seconds"), duration(variant.cost("seconds"))),
        "flow": ", ".join(f"{name} {n}/{ended}" for name, n in variant.gradient_flow.items()) or DASH,
        "low": len(variant.low),
        "diverged": len(variant.seeds("diverged")),
        "failed": len(variant.seeds("failed")),
        "confounds": variant.confounds,
        "runs": [_run(entry, variant.metric, of) for entry in variant.entries[:RUNS]],
        "more_runs": max(0, len(variant.entries) - RUNS),
        "command": variant.command(),
        "missing": variant.seeds("to do", "running", "interrupted", "failed", "damaged"),
        "missing_command": variant.command(missing)
        if (missing := variant.seeds("to do", "interrupted", "failed", "damaged"))
        else "",
        "reason": next((entry.reason for entry in variant.entries if entry.reason), None),
    }


def _interval(variant: Variant, of: Unit) -> str:
    """Of the mean; or why Student's interval means nothing."""
    if variant.seeds("diverged"):
        return str(Outcome.LOST)
    return str(Outcome.SPLIT) if variant.is_split else of.interval(variant.estimate.interval)


def forest_row(variant: Variant, of: Unit) -> Row:
    assert variant.difference is not None and variant.test is not None
    certain = variant.verdict in ("better", "worse")
    return _row(variant.label, variant.difference, variant.test, variant.p_holm, certain, of)


def _row(label: str, difference: Difference, test: Test, p: float | None, certain: bool, of: Unit) -> Row:
    """Without an interval where Student's means nothing."""
    if not test.has_interval:
        said = f"{of.change(difference.mean)} ({test.outcome}) p {p_value(p)}"
        return Row(label, Estimate((float(np.mean(difference.values)),)), said, certain)
    if difference.interval is None:
        return Row(label, difference, f"{of.change(difference.mean)} (n = {difference.n})", certain)
    low, high = (of.change(end) for end in difference.interval)
    return Row(label, difference, f"{of.change(difference.mean)} [{low}, {high}] p {p_value(p)}", certain)


def _run(entry: Entry, metric: str, of: Unit) -> dict[str, Any]:
    known = entry.result.record if entry.result else RunRecord()
    value = known.summary.get(metric) if entry.status == "finished" else None
    said = entry.status
    if entry.status == "diverged":
        said = f"diverged at step {known.diverged_at}"
    elif entry.status == "interrupted" and entry.reason:
        said = f"interrupted: {entry.reason}"
    elif entry.status == "failed":
        said = f"failed: {(entry.reason or known.failure)[:200]}"
    return {
        "seed": entry.seed,
        "status": entry.status,
        "said": said,
        "value": of.value(value),
        "fingerprint": known.fingerprint or None,
        "directory": str(relative(entry.result.directory)) if entry.result else None,
        "url": url if (url := known.wandb.url) and url.startswith("https://") else None,
    }


def _counted(number: float | None) -> tuple[float | None, str]:
    return number, DASH if number is None else count(number)


def _strip(variant: Variant, of: Unit, rows: Sequence[Row]) -> Drawing | None:
    return figures.strip(forest_row(variant, of), rows) if variant.difference else None


def _most_telling(comparison: Comparison, most: int) -> list[Variant]:
    """The baseline and the variants with the largest differences, in the table's order."""
    variants = comparison.variants
    if len(variants) <= most:
        return variants
    order = sorted(
        variants,
        key=lambda v: (not v.is_baseline, v.difference is None, -abs(v.difference.mean or 0) if v.difference else 0),
    )
    kept = {id(variant) for variant in order[:most]}
    return [variant for variant in variants if id(variant) in kept]


def _draw_effects(made: Contents) -> None:
    comparison, of = made.comparison, made.unit
    for size, name, title in ((1, "main_effects", "Main effects"), (2, "interactions", "Interactions")):
        found = [effect for effect in comparison.effects if len(effect.factors) == size]
        found = sorted(found, key=lambda e: -abs(e.difference.mean or 0))[:EFFECTS]
        if found:
            made.figures[name] = figures.forest(title, [_effect_row(effect, of) for effect in found], of)
    if comparison.variance:
        made.figures["variance"] = figures.variance(comparison.variance)
    compared = [variant for variant in made.drawn.values() if variant.difference]
    if not comparison.effects and len(compared) > 1:
        made.figures["differences"] = figures.forest(
            "Difference to the baseline", [forest_row(v, of) for v in compared], of
        )
    if not comparison.effects:
        return
    for factor, other in list(combinations(comparison.factors, 2))[:PAIRS]:
        # The choice with more values along the axis.
        if len(comparison.factors[factor]) < len(comparison.factors[other]):
            factor, other = other, factor
        levels, values = comparison.factors[factor][:8], comparison.factors[other][: len(SERIES) + 1]
        lines = [
            (value, [_marginal(comparison, {factor: level, other: value}) for level in levels]) for value in values
        ]
        if sum(e is not None for _, row in lines for e in row) >= 3:
            made.figures[f"interaction_{len(made.figures)}"] = figures.interaction(
                comparison.metric, factor, other, levels, lines, of
            )


def _effect_row(effect: Effect, of: Unit) -> Row:
    label = " × ".join(f"{key}={word(value)}" for key, value in zip(effect.factors, effect.values, strict=True))
    return _row(label, effect.difference, effect.test, effect.p_holm, effect.is_certain, of)


def _marginal(comparison: Comparison, fixed: dict[str, Any]) -> Estimate | None:
    """The mean over every variant with these values, seed by seed; of seeds that all of them have."""
    inside = [
        v for v in comparison.variants if all(v.assignment[key] == value for key, value in fixed.items()) and v.values
    ]
    if not inside:
        return None
    seeds = sorted(set.intersection(*(set(variant.values) for variant in inside)))
    means = tuple(float(np.mean([variant.values[seed] for variant in inside])) for seed in seeds)
    return Estimate(means) if means else None


def _draw_curves(made: Contents) -> None:
    validation = made.comparison.metric.replace("test/", "val/")
    for name in dict.fromkeys((validation, "train/loss")):
        found = {series: c for series, v in made.drawn.items() if (c := curve(v.results, name)) is not None}
        if found:
            file = "curve_" + "".join(c if c.isalnum() else "_" for c in name)
            made.figures[file] = figures.curves(name, found, made.labels, unit(name))


def _draw_costs(made: Contents) -> None:
    sign = made.comparison.sign
    for cost in ("params", "seconds"):
        with_both = {s: v for s, v in made.drawn.items() if v.estimate.mean is not None and v.cost(cost)}
        if len(with_both) > 1:
            places = {s: (v.cost(cost) or 0.0, sign * (v.estimate.mean or 0.0)) for s, v in with_both.items()}
            best = {
                s
                for s, (price, mean) in places.items()
                if not any(p <= price and m >= mean and (p, m) != (price, mean) for p, m in places.values())
            }
            made.figures[f"against_{cost}"] = figures.scatter(
                made.comparison.metric, cost, with_both, made.unit, best, made.labels
            )


def _draw_gradients(made: Contents) -> None:
    found: dict[int, Gradients] = {}
    for series, variant in made.drawn.items():
        read = gradients(variant.results)
        if read is not None:
            found[series] = read
    if not found:
        return
    values = np.concatenate([g.map[np.isfinite(g.map)] for g in found.values()])
    low, high = float(values.min()), float(values.max())
    made.figures["gradient_profile"] = gradient_figures.profile(found, made.labels)
    made.figures["gradient_scale"] = gradient_figures.colour_bar(low, high)
    for series, g in found.items():
        made.figures[f"gradients_{series}"] = gradient_figures.heat_map(made.labels[series], g, low, high)
