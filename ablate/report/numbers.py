"""How a report writes numbers: accuracies in percent, their differences in points."""

import math
from dataclasses import dataclass, replace

from ablate.training.goal import is_accuracy

DASH = "–"


@dataclass(frozen=True)
class Unit:
    """How a metric's values are written: times `factor`, with so many decimals; values and differences have words."""

    factor: float
    decimals: int
    of_value: str
    of_difference: str

    def value(self, value: float | None) -> str:
        return DASH if value is None else _written(value * self.factor, self.decimals)

    def change(self, value: float | None) -> str:
        """With its sign; a difference that rounds to nothing has none."""
        if value is None:
            return DASH
        text = _written(value * self.factor, self.decimals)
        return text if text.startswith("−") or not text.strip("0.") else f"+{text}"

    def possible(self, value: float, changes: bool = False) -> float:
        """The nearest possible value: an accuracy lies between 0 and 1, a difference of two between -1 and 1."""
        return min(1.0, max(-1.0 if changes else 0.0, value)) if self.of_value == "%" else value

    def interval(self, interval: tuple[float, float] | None, changes: bool = False) -> str:
        """As far as its values are possible."""
        if interval is None:
            return DASH
        ends = (self.possible(end, changes) for end in interval)
        low, high = (self.change(end) if changes else self.value(end) for end in ends)
        return f"{low} to {high}"

    def to(self, *intervals: tuple[float, float] | None) -> "Unit":
        """With the decimals that such intervals bear: the last one is worth at most a fifth of half the width.

        Of several the one of median width counts. An accuracy has at least one decimal, none has more than before.
        """
        known = sorted(high - low for low, high in filter(None, intervals) if high > low)
        if not known:
            return self
        worth = known[len(known) // 2] / 2 * self.factor / 5
        wanted = -math.floor(math.log10(worth))
        return replace(self, decimals=max(min(1, self.decimals), min(wanted, self.decimals)))


def unit(metric: str) -> Unit:
    if is_accuracy(metric):
        return Unit(100, 2, "%", " points")
    if metric == "cost/seconds":
        return Unit(1, 1, " s", " s")
    if metric.startswith("cost/"):
        return Unit(1, 0, "", "")
    return Unit(1, 4, "", "")


def p_value(p: float | None) -> str:
    if p is None:
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_phrase(p: float | None) -> str:
    """For a sentence: p < 0.001, p = 0.012."""
    said = p_value(p)
    return f"p {said[0]} {said[1:]}" if said.startswith("<") else f"p = {said}"


def duration(seconds: float | None, decimals: int = 1) -> str:
    """1.4 s, 3 min 20 s, 2 h 05 min. `decimals` of the seconds, where it is less than a minute."""
    if seconds is None:
        return DASH
    if round(seconds, decimals) < 60:
        return f"{seconds:.{decimals}f} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def about(seconds: float) -> str:
    """An estimate, which has no tenths: about 31 s."""
    return f"about {duration(seconds, decimals=0)}"


def count(number: float) -> str:
    """A count as people say it: 272.5k, 21.8M, 3.66G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number:g}"


def percent(share: float | None) -> str:
    return DASH if share is None else f"{share:.0%}"


def numbered(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _written(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    return text.replace("-", "−")
