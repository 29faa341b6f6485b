"""The figures of a report, each a small drawing that a phone can show."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ablate.comparison.series import Curve, StepCurve
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.report.drawing.svg import (
    ACCENT,
    GRID,
    INK,
    PAPER,
    Drawing,
    Plot,
    fill,
    number,
    path,
    power_of_ten,
    shortened,
    stroke,
    ticks,
)
from ablate.report.numbers import Unit, count, duration
from ablate.statistics.paired import Estimate

LABELLED = 6  # points that have their names beside them
WIDE = 1e6  # values that reach over more than this are drawn by their powers of ten


@dataclass(frozen=True)
class Row:
    """A line of a forest plot, in the metric's own values."""

    label: str
    estimate: Estimate
    said: str
    certain: bool


def forest(title: str, rows: Sequence[Row], of: Unit) -> Drawing:
    """Differences with their 95% intervals about zero; what is certain after correction is in the accent colour."""
    line = 40
    drawing = Drawing(420, 24 + line * len(rows) + 22, title)
    left, right = 4.0, 416.0
    place = _scale([row.estimate for row in rows], left, right)
    drawing.text(left, 14, title, muted=True)
    for i, row in enumerate(rows):
        y = 24 + line * i + 30
        # What the numbers leave of the line, by the width of their characters.
        drawing.text(left, y - 12, shortened(row.label, int((right - left - 6.2 * len(row.said)) / 7)))
        drawing.text(right, y - 12, row.said, "end", muted=True, font_size=11)
        drawing.line(place(0), y - 8, place(0), y + 8, "muted")
        _whisker(drawing, row, y, place)
    drawing.text(min(max(place(0), 24), 396), drawing.height - 6, f"0{of.of_difference}", "middle", muted=True)
    return drawing


def variance(rows: Sequence[Mapping[str, Any]]) -> Drawing:
    """The share of the variance that each source explains."""
    line = 26
    drawing = Drawing(420, 12 + line * len(rows), "share of the variance by source")
    for i, row in enumerate(rows):
        y = 8 + line * i
        own = row["source"] in ("seed", "residual")
        width = max(1.0, 200 * row["share"])
        drawing.text(150, y + 14, shortened(row["source"], 22), "end", muted=own)
        colour = {"class_": "grid-fill", "fill": GRID} if own else {"class_": "accent", "fill": ACCENT}
        tip = f"{row['source']}: {row['share']:.1%} of the variance"
        drawing.add("rect", tip, x=158, y=y + 2, width=width, height=16, rx=2, **colour)
        drawing.text(164 + width, y + 14, f"{row['share']:.1%}", muted=own)
    return drawing


def interaction(
    metric: str,
    factor: str,
    other: str,
    levels: Sequence[Any],
    lines: Sequence[tuple[Any, Sequence[Estimate | None]]],
    of: Unit,
) -> Plot:
    """The mean of the metric for each value of one choice, a line for each value of another, with 95% intervals.

    An accuracy's interval is drawn as far as accuracies go.
    """
    shown = [v for _, row in lines for e in row if e for v in (e.mean, *(e.interval or ())) if v is not None]
    values = [of.possible(v) * of.factor for v in shown]
    plot = Plot(
        f"{metric} by {factor} and {other}",
        (-0.4, len(levels) - 0.6),
        padded(values, of),
        x_label=factor,
        y_label=_of(metric, of),
        x_ticks=[(i, shortened(word(level), max(6, 56 // len(levels)))) for i, level in enumerate(levels)],
    )
    plot.key = [f"{other}={word(value)}" for value, _ in lines]
    for series, (value, row) in enumerate(lines):
        group = plot.group()
        shift = (series - (len(lines) - 1) / 2) * 0.05
        placed = [(i + shift, e) for i, e in enumerate(row) if e and e.mean is not None]
        plot.curve([(x, e.mean * of.factor) for x, e in placed if e.mean is not None], series, group)
        for x, e in placed:
            assert e.mean is not None
            (cx, cy) = plot.place(x, e.mean * of.factor)
            if e.interval:
                ends = [plot.place(x, of.possible(end) * of.factor) for end in e.interval]
                plot.add("path", "", group, d=path(ends), **stroke(series), stroke_width=1.2)
            said = (
                f"{other}={word(value)}: {of.value(e.mean)}{of.of_value}, 95% CI {of.interval(e.interval)}, n = {e.n}"
            )
            plot.add("circle", said, group, cx=cx, cy=cy, r=4, **fill(series))
    return plot


def curves(name: str, curves: Mapping[int, Curve], labels: Sequence[str], of: Unit) -> Plot:
    """A metric by epoch: a line is the mean of the seeds, its band reaches from the lowest to the highest."""
    of_curves = [v for c in curves.values() for v in (*c.low, *c.high, *(y for _, ys in c.lost for y in ys))]
    scaled, axis = _axis(of_curves, of)
    epochs = [float(e) for c in curves.values() for e in (*c.epochs, *(x for xs, _ in c.lost for x in xs))]
    first, last = min(epochs), max(epochs)
    whole = [(at, f"{at:,.0f}") for at, _ in ticks(first, max(last, first + 1), 6) if at == round(at)]
    title, label = f"{name} by epoch", _of(name, of)
    plot = Plot(title, (first, last), x_label="epoch", y_label=label, x_ticks=whole, **axis)
    for series, curve in curves.items():
        group = plot.group(series)
        if len(curve.epochs):
            low, high = (list(zip(curve.epochs, scaled(ends), strict=True)) for ends in (curve.low, curve.high))
            plot.band(low, high, series, group, opacity=min(0.14, 0.4 / len(curves)))
            plot.curve(list(zip(curve.epochs, scaled(curve.mean), strict=True)), series, group)
        for xs, ys in curve.lost:
            plot.curve(list(zip(xs, scaled(ys), strict=True)), series, group, stroke_width=1.0, stroke_dasharray="2 2")
            x, y = plot.place(xs[-1], float(scaled(ys)[-1]))
            plot.add("path", f"{labels[series]}: diverged", group, d=_cross(x, y), **stroke(series), stroke_width=2)
    _epoch_tips(plot, curves, labels, of)
    return plot


def _of(metric: str, of: Unit) -> str:
    """An axis' words: the metric and its unit, if it has one."""
    return " ".join(filter(None, (metric, of.of_value.strip())))


def by_step(name: str, curves: Mapping[int, StepCurve], of: Unit) -> Plot:
    """A metric by optimizer step, smoothed; behind it the mean of each stretch of steps."""
    scaled, axis = _axis([value for curve in curves.values() for value in curve.raw], of)
    last = max(float(curve.steps[-1]) for curve in curves.values())
    plot = Plot(
        f"{name} by step",
        (0.0, last),
        x_label="optimizer step",
        y_label=f"{_of(name, of)}, smoothed",
        **axis,
    )
    for series, curve in curves.items():
        group = plot.group(series)
        for line, style in ((curve.raw, {"stroke_width": 0.8, "opacity": 0.3}), (curve.smooth, {})):
            plot.curve(list(zip(curve.steps, scaled(line), strict=True)), series, group, **style)
    return plot


def scatter(
    metric: str, cost: str, variants: Mapping[int, Variant], of: Unit, best: set[int], labels: Sequence[str]
) -> Plot:
    """The metric against what it costs; those that none beats in both are joined: the Pareto front."""
    words = {"params": "parameters", "macs": "multiply-adds", "seconds": "training time, seconds"}
    costs = {series: variant.cost(cost) or 0.0 for series, variant in variants.items()}
    means = {series: (variant.estimate.mean or 0.0) * of.factor for series, variant in variants.items()}
    low, high = min(costs.values()), max(costs.values())
    room = (high / low) ** 0.08 if high > low * 1.001 else 1.05
    plot = Plot(
        f"{metric} against {words[cost]}",
        (low / room, high * room),
        padded([*means.values()], of),
        x_label=words[cost],
        y_label=_of(metric, of),
        log_x=True,
    )
    front = sorted((costs[series], means[series]) for series in best)
    plot.add(
        "path",
        "",
        d=path([plot.place(*point) for point in front]),
        class_="muted-line",
        stroke=INK,
        fill="none",
        opacity=0.5,
        stroke_dasharray="4 3",
    )
    for series in variants:
        x, y = plot.place(costs[series], means[series])
        said = duration(costs[series]) if cost == "seconds" else f"{count(costs[series])} {words[cost]}"
        tip = f"{labels[series]}: {of.value(means[series] / of.factor)}{of.of_value}, {said}"
        group = plot.group(series)
        ring = {"stroke": ACCENT, "class_": "ring", "stroke_width": 2} if series in best else {}
        if ring:
            plot.add("circle", "", group, cx=x, cy=y, r=8, fill="none", **ring)
        plot.add("circle", tip, group, cx=x, cy=y, r=5, **fill(series))
        if len(variants) <= LABELLED:
            left = x > (plot.left + plot.right) / 2
            label = shortened(labels[series], 26)
            plot.text(x - 11 if left else x + 11, y + 4, label, "end" if left else "start", into=group, font_size=10)
    return plot


def _axis(values: Sequence[float], of: Unit) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]:
    """How values become places along an upright axis, and the axis: by powers of ten where they reach over many, as
    the loss of a run that diverges does."""
    low, high = min(values), max(values)
    if not 0 < low * WIDE < high:
        return lambda values: values * of.factor, {"y": padded([low * of.factor, high * of.factor], of)}
    bottom, top = padded([math.log10(low), math.log10(high)])
    every = math.ceil((top - bottom) / 5)
    powers = range(math.ceil(bottom), math.floor(top) + 1, every)
    return np.log10, {"y": (bottom, top), "y_ticks": [(float(power), power_of_ten(power)) for power in powers]}


def padded(values: Sequence[float], of: Unit | None = None) -> tuple[float, float]:
    """Their range, with some room; of a unit's values at least ten of the last decimal that it writes."""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(low) * 0.02 or 0.5
    if of and high - low + 2 * room < (least := 10 * 10.0**-of.decimals):
        room = (least - (high - low)) / 2
    return low - room, high + room


def _scale(estimates: Sequence[Estimate], left: float, right: float) -> Any:
    """Where a difference stands, zero within."""
    ends = [0.0, *(end for e in estimates for end in (e.interval or (e.mean or 0.0,)))]
    low, high = min(ends), max(ends)
    room = (high - low) * 0.04 or 1.0
    low, high = low - room, high + room
    return lambda value: left + (value - low) / (high - low) * (right - left)


def _whisker(drawing: Drawing, row: Row, y: float, place: Any) -> None:
    if row.estimate.mean is None:
        return
    colour = ACCENT if row.certain else INK
    kind = "accent" if row.certain else "ink"
    if row.estimate.interval:
        low, high = map(place, row.estimate.interval)
        drawing.add(
            "path",
            "",
            d=f"M{number(low)} {number(y)}H{number(high)}",
            class_=f"{kind}-line",
            stroke=colour,
            stroke_width=2,
        )
    x = place(row.estimate.mean)
    shape = (
        {"fill": colour, "class_": kind}
        if row.estimate.interval
        else {"fill": PAPER, "stroke": colour, "class_": "hollow"}
    )
    drawing.add("circle", f"{row.label}: {row.said}", cx=x, cy=y, r=4.5, **shape)


def _cross(x: float, y: float) -> str:
    return f"M{number(x - 4)} {number(y - 4)}l8 8m0 -8l-8 8"


def _epoch_tips(plot: Plot, curves: Mapping[int, Curve], labels: Sequence[str], of: Unit) -> None:
    """An upright strip over each epoch that tells every curve's value there."""
    epochs = sorted({float(e) for c in curves.values() for e in c.epochs})
    epochs = epochs[:: max(1, len(epochs) // 40)]
    if not epochs:
        return
    at = [plot.place(epoch, plot.y[0])[0] for epoch in epochs]
    edges = [plot.left, *((a + b) / 2 for a, b in pairwise(at)), plot.right]
    for i, epoch in enumerate(epochs):
        lines = [f"epoch {epoch:g}"]
        for series, curve in curves.items():
            where = np.flatnonzero(curve.epochs == epoch)
            if len(where):
                lines.append(f"{of.value(float(curve.mean[where[0]]))}  {shortened(labels[series], 40)}")
        size = {"x": edges[i], "y": plot.top, "width": edges[i + 1] - edges[i], "height": plot.bottom - plot.top}
        plot.add("rect", "\n".join(lines), **size, fill=INK, class_="hit", opacity=0)
