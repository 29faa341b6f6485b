"""Small SVG figures: an element tree, so that whatever a run is called stays text.

Colours are attributes, so that a figure looks right by itself and in a document; a page's style sheet may set others by
the classes `ink`, `muted`, `grid` and `paper`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

INK, MUTED, GRID, PAPER, ACCENT = "#1b1f24", "#5d6670", "#dfe3e8", "#ffffff", "#0b62c4"
# Okabe and Ito's palette without yellow and black, which vanish on one of the backgrounds: told apart by every kind of
# colour vision (jfly.uni-koeln.de/color, 2008). The baseline is drawn in ink.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("none", "5 3")
LONG = 9  # digits before the point beyond which numbers are written by their power of ten
LEGEND = "legend"  # the class of the group that says what the colours are, in a figure that stands alone

Points = Sequence[tuple[float, float]]


class Drawing:
    """An SVG of a size in pixels, described for those who cannot see it."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self.root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {number(width)} {number(height)}",
                "role": "img",
                "aria-label": printable(title),
                "font-family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
                "font-size": "12",
            },
        )
        self.key: list[str] = []  # what its series are, where they are not the page's variants

    @classmethod
    def read(cls, path: Path) -> "Drawing":
        """A figure that was written before."""
        root = ElementTree.parse(path).getroot()
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        if (legend := root.find(f"g[@class='{LEGEND}']")) is not None:  # a page has its own
            root.remove(legend)
            height = float(legend.attrib["data-height"])
            root.set("viewBox", f"0 0 {number(width)} {number(height)}")
        drawing = cls(width, height, root.get("aria-label", ""))
        known = dict(root.attrib)
        root.attrib.clear()
        root.attrib.update({"xmlns": drawing.root.attrib["xmlns"], **known})
        drawing.root = root
        return drawing

    def group(self, series: int | None = None) -> ElementTree.Element:
        """A group that a page can switch off by its series."""
        return ElementTree.SubElement(self.root, "g", {} if series is None else {"data-series": str(series)})

    def add(self, tag: str, tip: str = "", into: Any = None, /, **attributes: Any) -> ElementTree.Element:
        """An element; `tip` is what it says when pointed at. `class_` is written class, `stroke_width` stroke-width."""
        named = {
            key.rstrip("_").replace("_", "-"): number(value) if isinstance(value, float | int) else printable(value)
            for key, value in attributes.items()
        }
        element = ElementTree.SubElement(self.root if into is None else into, tag, named)
        if tip:
            ElementTree.SubElement(element, "title").text = printable(tip)
        return element

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        muted: bool = False,
        into: Any = None,
        **attributes: Any,
    ) -> None:
        kind = {"class_": "muted", "fill": MUTED} if muted else {"class_": "ink", "fill": INK}
        self.add("text", "", into, x=x, y=y, text_anchor=anchor, **kind, **attributes).text = printable(text)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid", **attributes: Any) -> None:
        stroke = {"grid": GRID, "muted": MUTED, "ink": INK}[kind]
        self.add("line", "", x1=x1, y1=y1, x2=x2, y2=y2, class_=f"{kind}-line", stroke=stroke, **attributes)

    def __str__(self) -> str:
        return ElementTree.tostring(self.root, encoding="unicode")

    __html__ = __str__  # for a template: markup that has escaped its text


class Plot(Drawing):
    """Axes with a grid: `x` and `y` are the ranges, `place` where a point of them stands."""

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        x_label: str,
        y_label: str,
        width: float = 420,
        height: float = 270,
        log_x: bool = False,
        x_ticks: Sequence[tuple[float, str]] | None = None,
        y_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        super().__init__(width, height, title)
        self.log_x = log_x
        self.x, self.y = _widened(x), _widened(y)
        shown_y = list(ticks(*self.y, 5)) if y_ticks is None else list(y_ticks)
        self.left = 14 + 6.6 * max((len(label) for _, label in shown_y), default=1)
        self.right, self.top, self.bottom = width - 12, 30, height - 42
        self.text(2, 14, y_label, muted=True)
        for value, label in shown_y:
            _, at = self.place(self.x[0], value)
            self.line(self.left, at, self.right, at)
            self.text(self.left - 6, at + 4, label, "end", muted=True)
        shown_x = (log_ticks(*self.x) if log_x else ticks(*self.x, 6)) if x_ticks is None else x_ticks
        for value, label in shown_x:
            at, _ = self.place(value, self.y[0])
            self.line(at, self.bottom, at, self.bottom + 4, "muted")
            self.text(at, self.bottom + 17, label, "middle", muted=True)
        self.line(self.left, self.bottom, self.right, self.bottom, "muted")
        self.text((self.left + self.right) / 2, height - 6, x_label, "middle", muted=True)

    def place(self, x: float, y: float) -> tuple[float, float]:
        (low, high), (bottom, top) = self.x, self.y
        if self.log_x:
            x, low, high = math.log(x), math.log(low), math.log(high)
        across, up = (x - low) / (high - low), (y - bottom) / (top - bottom)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def curve(self, points: Points, series: int, into: Any, **attributes: Any) -> None:
        placed = [self.place(*point) for point in points]
        style = {"fill": "none", "stroke_width": 2.4 if series == 0 else 1.8, "stroke_linejoin": "round"}
        self.add("path", "", into, d=path(placed), **stroke(series), **(style | attributes))

    def band(self, low: Points, high: Points, series: int, into: Any, opacity: float = 0.14) -> None:
        outline = [*(self.place(*p) for p in low), *(self.place(*p) for p in reversed(high))]
        colour = stroke(series)
        self.add(
            "path",
            "",
            into,
            d=path(outline) + "Z",
            class_=colour["class_"] + "-area",
            fill=colour["stroke"],
            opacity=opacity,
        )


def stroke(series: int) -> dict[str, str]:
    """The line of a series; 0 is the baseline, in ink."""
    if series == 0:
        return {"class_": "ink-line", "stroke": INK}
    colour = SERIES[(series - 1) % len(SERIES)]
    dash = DASHES[(series - 1) // len(SERIES) % len(DASHES)]
    return {"class_": "series", "stroke": colour} | ({"stroke_dasharray": dash} if dash != "none" else {})


def fill(series: int) -> dict[str, str]:
    if series == 0:
        return {"class_": "ink", "fill": INK}
    colour = SERIES[(series - 1) % len(SERIES)]
    if (series - 1) // len(SERIES) % len(DASHES):
        return {"class_": "hollow-series", "fill": PAPER, "stroke": colour, "stroke_width": "2"}
    return {"class_": "series", "fill": colour}


def path(points: Points) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def ticks(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Round values within a range, and their labels."""
    rough = (high - low) / about
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if round(step / size, 6) == 2.5 else 0))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    power = math.floor(math.log10(max(abs(first), abs(last), 1) * step) + 1e-9)
    if power >= LONG:
        return [(i * step, f"{i * step / 10**power:.3g}·{power_of_ten(power)}") for i in range(first, last + 1)]
    return [(i * step, f"{i * step:,.{decimals}f}".replace("-", "−")) for i in range(first, last + 1)]


def power_of_ten(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    from ablate.report.numbers import count

    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        values = [value for value in values if low <= value <= high]
        if len(values) >= 3:
            break
    else:
        values = [value for value, _ in ticks(low, high, 4) if value > 0]
    return [(value, count(value)) for value in values[:: max(1, len(values) // 6)]]


def number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def printable(text: Any) -> str:
    """Without what XML cannot hold."""
    return "".join(
        c for c in str(text) if c in "\t\n" or (c >= " " and not 0xD800 <= ord(c) <= 0xDFFF and c < "\ufffe")
    )


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _widened(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if high > low:
        return ends
    room = abs(low) * 0.05 or 0.5
    return low - room, high + room
