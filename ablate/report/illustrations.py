"""The figures of a report, each with its kind: which of them a comparison has, and of which variants."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ablate.comparison.comparison import Comparison
from ablate.comparison.results import Result
from ablate.comparison.series import curve, gradients, step_curve
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.report.drawing import figures
from ablate.report.drawing import gradients as gradient_figures
from ablate.report.drawing.figures import Row
from ablate.report.drawing.gradients import Profile
from ablate.report.drawing.svg import SERIES, Drawing
from ablate.report.numbers import Unit, numbered, p_value, unit
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import Test
from ablate.statistics.paired import Difference, Estimate
from ablate.statistics.unpaired import Welch
from ablate.training.gradients.reading import Gradients, mean, profiles

EFFECTS = 30
PAIRS = 6
BY_STEP = "train/loss_step"
Read = Sequence[tuple[Result, Gradients]]  # runs and their gradients


class Kind(Enum):
    """What a figure shows, by which a page finds its place."""

    DIFFERENCES = "differences"
    EFFECTS = "effects"
    VARIANCE = "variance"
    INTERACTION = "interaction"
    CURVE = "curve"
    COST = "cost"
    PROFILE = "profile"
    SCALE = "scale"
    MAP = "map"


@dataclass(frozen=True)
class Figure:
    """A drawing of a report.

    name     of its file
    series   the variant that it is of, where it is of one
    of       the choices that it is of, where it is of some
    """

    kind: Kind
    name: str
    drawing: Drawing
    series: int | None = None
    caption: str = ""
    of: tuple[str, ...] = ()


def illustrations(
    comparison: Comparison, drawn: Mapping[int, Variant], labels: Sequence[str], before: Path | None = None
) -> list[Figure]:
    """All figures, in the order of a page. drawn: the variants that have a curve, by their series.

    before  the folder of figures that were drawn when the runs were there; None where they are
    """
    return [
        *_effects(comparison, drawn),
        *_interactions(comparison),
        *(_kept(before, Kind.CURVE) if before else _curves(comparison, drawn, labels)),
        *_costs(comparison, drawn, labels),
        *(_kept(before, Kind.PROFILE, Kind.SCALE, Kind.MAP) if before else _gradients(comparison, drawn, labels)),
    ]


FILES = {
    Kind.CURVE: "curve_*.svg",
    Kind.PROFILE: "gradient_profile.svg",
    Kind.SCALE: "gradient_scale.svg",
    Kind.MAP: "gradients_*.svg",
}


def _kept(folder: Path, *kinds: Kind) -> Iterator[Figure]:
    for kind in kinds:
        for path in sorted(folder.glob(FILES[kind])):
            series = int(path.stem.split("_")[1]) if kind is Kind.MAP else None
            yield Figure(kind, path.stem, Drawing.read(path), series)


def forest_row(variant: Variant, of: Unit) -> Row:
    assert variant.difference is not None and variant.test is not None
    certain = variant.verdict in ("better", "worse")
    return _row(variant.label, variant.difference, variant.test, variant.p_holm, certain, of)


def _row(label: str, difference: Difference, test: Test, p: float | None, certain: bool, of: Unit) -> Row:
    """Without an interval where Student's means nothing."""
    if not test.has_interval:
        said = f"{of.change(difference.mean)} ({test.outcome}) p {p_value(p)}"
        return Row(label, Estimate((difference.mean or 0.0,)), said, certain)
    if difference.interval is None:
        return Row(label, difference, f"{of.change(difference.mean)} (n = {difference.n})", certain)
    low, high = (of.change(end) for end in difference.interval)
    return Row(label, difference, f"{of.change(difference.mean)} [{low}, {high}] p {p_value(p)}", certain)


def _effects(comparison: Comparison, drawn: Mapping[int, Variant]) -> Iterator[Figure]:
    of = unit(comparison.metric)
    compared = [variant for variant in drawn.values() if variant.difference]
    if not comparison.effects and len(compared) > 1:
        rows = [forest_row(variant, of) for variant in compared]
        yield Figure(Kind.DIFFERENCES, "differences", figures.forest("Difference to the baseline", rows, of))
    for size, name, title in ((1, "main_effects", "Main effects"), (2, "interactions", "Interactions")):
        found = [effect for effect in comparison.effects if len(effect.factors) == size]
        found = sorted(found, key=lambda e: -abs(e.difference.mean or 0))[:EFFECTS]
        if found:
            rows = [_effect_row(effect, of) for effect in found]
            yield Figure(Kind.EFFECTS, name, figures.forest(title, rows, of))
    if comparison.variance:
        caption = (
            f"Share of the variance of {comparison.metric} that each choice explains, over the"
            f" {numbered(len(comparison.variance_seeds), 'seed')} that every combination has."
        )
        yield Figure(Kind.VARIANCE, "variance", figures.variance(comparison.variance), caption=caption)


def _effect_row(effect: Effect, of: Unit) -> Row:
    label = " × ".join(f"{key}={word(value)}" for key, value in zip(effect.factors, effect.values, strict=True))
    return _row(label, effect.difference, effect.test, effect.p_holm, effect.is_certain, of)


def _interactions(comparison: Comparison) -> Iterator[Figure]:
    if not comparison.effects:
        return
    for number, (factor, other) in enumerate(list(combinations(comparison.factors, 2))[:PAIRS]):
        # The choice with more values along the axis.
        if len(comparison.factors[factor]) < len(comparison.factors[other]):
            factor, other = other, factor
        levels, values = comparison.factors[factor][:8], comparison.factors[other][: len(SERIES) + 1]
        lines = [
            (value, [_marginal(comparison, {factor: level, other: value}) for level in levels]) for value in values
        ]
        if sum(e is not None for _, row in lines for e in row) >= 3:
            plot = figures.interaction(comparison.metric, factor, other, levels, lines, unit(comparison.metric))
            yield Figure(Kind.INTERACTION, f"interaction_{number}", plot, of=(factor, other))


def _marginal(comparison: Comparison, fixed: dict[str, Any]) -> Estimate | None:
    """The mean over every variant with these values, seed by seed; of seeds that all of them have."""
    inside = [
        v for v in comparison.variants if all(v.assignment[key] == value for key, value in fixed.items()) and v.values
    ]
    if not inside:
        return None
    if not comparison.is_paired:
        weights = (1 / len(inside),) * len(inside)
        return Welch(groups=tuple(tuple(variant.values.values()) for variant in inside), weights=weights)
    seeds = sorted(set.intersection(*(set(variant.values) for variant in inside)))
    means = tuple(float(np.mean([variant.values[seed] for variant in inside])) for seed in seeds)
    return Estimate(means) if means else None


def _curves(comparison: Comparison, drawn: Mapping[int, Variant], labels: Sequence[str]) -> Iterator[Figure]:
    validation = comparison.metric.replace("test/", "val/")
    for name in dict.fromkeys((validation, "train/loss")):
        found = {series: c for series, v in drawn.items() if (c := curve(v.results, name)) is not None}
        if found:
            file = "curve_" + "".join(c if c.isalnum() else "_" for c in name)
            yield Figure(Kind.CURVE, file, figures.curves(name, found, labels, unit(name)))
    steps = {s: by_step for s, v in drawn.items() if (by_step := step_curve(v.results, BY_STEP)) is not None}
    if steps:
        yield Figure(Kind.CURVE, "curve_by_step", figures.by_step("train/loss", steps, unit("train/loss")))


def _costs(comparison: Comparison, drawn: Mapping[int, Variant], labels: Sequence[str]) -> Iterator[Figure]:
    for cost in ("params", "seconds"):
        with_both = {s: v for s, v in drawn.items() if v.estimate.mean is not None and v.cost(cost)}
        if len(with_both) > 1:
            places = {
                s: (v.cost(cost) or 0.0, comparison.sign * (v.estimate.mean or 0.0)) for s, v in with_both.items()
            }
            best = {
                s
                for s, (price, mean) in places.items()
                if not any(p <= price and m >= mean and (p, m) != (price, mean) for p, m in places.values())
            }
            plot = figures.scatter(comparison.metric, cost, with_both, unit(comparison.metric), best, labels)
            yield Figure(Kind.COST, f"against_{cost}", plot)


def _gradients(comparison: Comparison, drawn: Mapping[int, Variant], labels: Sequence[str]) -> Iterator[Figure]:
    found = {series: read for series, variant in drawn.items() if (read := gradients(variant.results))}
    over_depth = {series: p for series, read in found.items() if (p := _profile(read)) is not None}
    if over_depth:
        yield Figure(Kind.PROFILE, "gradient_profile", gradient_figures.profile(over_depth, labels))
    if found:
        yield Figure(Kind.SCALE, "gradient_scale", gradient_figures.scale())
    for series, read in found.items():
        for number, (said, runs) in enumerate(_outcomes(drawn[series], read, comparison.metric)):
            name = f"gradients_{series}" + (f"_{number}" if number else "")
            drawing = gradient_figures.heat_map(labels[series], said, mean([own for _, own in runs]))
            yield Figure(Kind.MAP, name, drawing, series)


def _profile(read: Read) -> Profile | None:
    """Over the runs; None where no layer has a finite gradient in any."""
    layers = read[0][1].layers
    values = profiles([own for _, own in read])
    known = np.isfinite(values).any(axis=0)
    if not known.any():
        return None
    values = values[:, known]
    depths = np.array([layer.depth for layer in layers])[known]
    return Profile(depths, np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0))


def _outcomes(variant: Variant, read: Read, metric: str) -> list[tuple[str, Read]]:
    """The runs by what they came to, each group with the values or the word for it and its verdicts: one group, unless
    seeds split."""
    seed_of = {id(entry.result): entry.seed for entry in variant.entries if entry.result}
    lost = set(variant.seeds("diverged"))
    low = variant.low - lost if variant.is_split else set()
    groups: dict[str, list[tuple[Result, Gradients]]] = {}
    for result, own in read:
        seed = seed_of.get(id(result))
        outcome = "diverged" if seed in lost else "low" if seed in low else "high" if low else "finished"
        groups.setdefault(outcome, []).append((result, own))
    said = {}
    for outcome, runs in groups.items():
        whose = numbered(len(read), "seed")
        if len(groups) > 1:
            ended = f" with {_range(runs, metric)}" if outcome in ("low", "high") else f" {outcome}"
            whose = f"{len(runs)} of {whose}{ended}"
        said[f"{whose}: {_verdicts([result for result, _ in runs])}"] = runs
    return list(said.items())


def _range(runs: Read, metric: str) -> str:
    """The metric, and from where to where the runs' values of it lie."""
    of = unit(metric)
    values = sorted(result.metrics[metric] for result, _ in runs)
    ends = dict.fromkeys((of.value(values[0]), of.value(values[-1])))
    return f"{metric} {' to '.join(ends)}{of.of_value}"


def _verdicts(results: Sequence[Result]) -> str:
    """The gradients' verdicts, with their numbers where they differ."""
    words = [result.record.gradient_flow or "not judged" for result in results]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    return words[0] if len(counts) == 1 else ", ".join(f"{word} {count}" for word, count in counts.items())
