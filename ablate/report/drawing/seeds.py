"""A row of the main table as a drawing: a dot for each seed, the mean, its interval, on the axis of all rows.

Places are in percent of the width, so that dots stay round and text readable however wide a column or a phone is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.report.drawing.svg import ACCENT, INK, MUTED, PAPER, Drawing, ticks
from ablate.report.numbers import Unit

HEIGHT = 44
LOWEST, STEP, LANES = 25.0, 5.6, 8  # where the first dot stands, how far the next above it, and how many at most
ROOM = 21.0  # above the first dot
MEAN = 35
APART = 0.014  # of the width: dots that are nearer stand upon each other
MARGIN = 0.02
CROSSES = 4  # upon each other
CROSS = 1.8  # of the width in percent, from one cross to the next
MOST = 64  # seeds that have a dot


@dataclass(frozen=True)
class Axis:
    """The values that all rows share, in the metric's own units.

    better  1 where more is better, else -1
    lost    the most runs that a row has lost: their crosses stand beyond the worse end, where no value is
    """

    low: float
    high: float
    of: Unit
    better: int
    lost: int = 0

    def place(self, value: float) -> float:
        """From 0 to 100, with some room at both ends."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        beyond = CROSS / 100 * math.ceil(min(self.lost, MOST) / CROSSES)
        start = MARGIN + (beyond if self.better > 0 else 0.0)
        return 100 * (start + (1 - 2 * MARGIN - beyond) * share)

    def of_lost(self, i: int) -> float:
        """Of the i-th lost run's cross, from 0 to 100: from the edge inwards."""
        inwards = CROSS * (0.5 + i // CROSSES)
        return inwards if self.better > 0 else 100 - inwards

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels; the last with the unit."""
        factor = self.of.factor
        shown = ticks(self.low * factor, self.high * factor, 5)
        placed = [(round(self.place(value / factor), 2), label) for value, label in shown]
        return [*placed[:-1], (placed[-1][0], placed[-1][1] + self.of.of_value.strip())] if placed else []


def axis(values: Sequence[float], of: Unit, better: int, lost: int = 0) -> Axis:
    """Round ends about all values, at least as far apart as 20 of the last decimal that is written."""
    low, high = min(values), max(values)
    least = 20 * 10**-of.decimals / of.factor
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    step = _round((high - low) / 4)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return Axis(of.possible(low), of.possible(high), of, better, lost)


def row(
    label: str,
    seeds: Mapping[int, float],
    lost: Mapping[int, str],
    mean: float | None,
    interval: tuple[float, float] | None,
    baseline: float | None,
    along: Axis,
) -> Drawing:
    """One variant. lost: seeds that have no value, and what became of them: crosses beyond the worse end."""
    of = along.of
    said = f"{label}: {of.value(mean)}{of.of_value if mean is not None else ''}"
    drawing = Drawing(100, HEIGHT, said + (f", {len(lost)} of {len(lost) + len(seeds)} lost" if lost else ""))
    del drawing.root.attrib["viewBox"]
    drawing.root.attrib |= {"width": "100%", "height": str(HEIGHT)}
    for place, _ in along.ticks():
        drawing.line(0, 0, 0, HEIGHT)
        _across(drawing, place)
    if baseline is not None:
        drawing.line(0, 0, 0, HEIGHT, "muted", stroke_dasharray="3 3")
        _across(drawing, along.place(baseline))
    if interval and not lost:
        low, high = (along.place(of.possible(end)) for end in interval)
        drawing.line(0, MEAN, 0, MEAN, "ink", stroke_width=2)
        _across(drawing, low, high)
    stacked = _stacked(dict(list(seeds.items())[:MOST]), along)
    step = min(STEP, ROOM / max(1, *(lane for *_, lane in stacked), 1))
    for seed, value, lane in stacked:
        tip = f"seed {seed}: {of.value(value)}{of.of_value}"
        dot = drawing.add("circle", tip, cy=LOWEST - step * lane, r=3, fill=ACCENT, class_="seed")
        dot.set("cx", f"{along.place(value):.2f}%")
    for i, (seed, what) in enumerate(list(lost.items())[:MOST]):
        here = drawing.add("svg", "", x=f"{along.of_lost(i):.2f}%", overflow="visible")
        y = LOWEST - STEP * (i % CROSSES)
        shape = f"M-2.6 {y - 2.6}l5.2 5.2m0 -5.2l-5.2 5.2"
        drawing.add("path", f"seed {seed}: {what}", here, d=shape, stroke=MUTED, stroke_width=1.6, class_="lost-line")
    if mean is not None:
        here = drawing.add("svg", "", x=f"{along.place(mean):.2f}%", overflow="visible")
        colours = {"fill": INK, "class_": "ink"} if not lost else {"fill": PAPER, "stroke": INK, "class_": "hollow"}
        drawing.add("path", said, here, d=f"M0 {MEAN - 5}l5 5-5 5-5-5z", **colours)
    return drawing


def _across(drawing: Drawing, low: float, high: float | None = None) -> None:
    """Move the line that was drawn last to these places."""
    line = drawing.root[-1]
    line.set("x1", f"{low:.2f}%")
    line.set("x2", f"{low if high is None else high:.2f}%")


def _stacked(seeds: Mapping[int, float], along: Axis) -> list[tuple[int, float, int]]:
    """Each seed with its value and its lane: upon those that stand too near."""
    placed: list[tuple[int, float, int]] = []
    for seed, value in sorted(seeds.items(), key=lambda item: item[1]):
        near = {lane for _, other, lane in placed if abs(along.place(other) - along.place(value)) < 100 * APART}
        placed.append((seed, value, next((lane for lane in range(LANES) if lane not in near), LANES - 1)))
    return placed


def _round(rough: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10 times a power of ten."""
    size = 10.0 ** math.floor(math.log10(rough))
    return next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
