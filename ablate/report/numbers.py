"""Numbers as a report says them. Accuracies are told in percent, their differences in points."""

from dataclasses import dataclass

DASH = "–"


@dataclass(frozen=True)
class Unit:
    """How a metric's values are written: times `factor`, with so many decimals; values and differences have words."""

    factor: float
    decimals: int
    of_value: str
    of_difference: str

    def value(self, value: float | None) -> str:
        return DASH if value is None else _plain(value * self.factor, self.decimals)

    def change(self, value: float | None) -> str:
        """With its sign; a difference that rounds to nothing has none."""
        if value is None:
            return DASH
        text = _plain(value * self.factor, self.decimals)
        return text if text.startswith("−") or not text.strip("0.") else f"+{text}"

    def possible(self, value: float) -> float:
        """The nearest value that there can be: an accuracy lies between 0 and 1."""
        return min(1.0, max(0.0, value)) if self.of_value == "%" else value

    def interval(self, interval: tuple[float, float] | None, changes: bool = False) -> str:
        if interval is None:
            return DASH
        low, high = (self.change(end) if changes else self.value(end) for end in interval)
        return f"{low} to {high}"


def unit(metric: str) -> Unit:
    if metric.rsplit("/", 1)[-1].startswith("acc"):
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


def duration(seconds: float | None) -> str:
    if seconds is None:
        return DASH
    for word, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {word}"
    return f"{seconds:.1f} s"


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


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    if not text.strip("-0."):
        text = text.lstrip("-")
    return text.replace("-", "−")
