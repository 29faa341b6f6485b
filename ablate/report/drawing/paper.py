"""A report's figures for papers: the legend inside, and as PDF with an embedded font, as wide as a column."""

import base64
import copy
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ablate.report.drawing.svg import LEGEND, Drawing, fill, shortened, stroke

COLUMN = 3.35  # inches: a column of two in most papers; a vector figure can be set as wide as the page
FONT = "DejaVu Sans"  # which matplotlib brings with it
LINE, ENTRY = 17, 24  # pixels of a legend
MOVES = re.compile(r"([MLHVZlm])([^MLHVZlm]*)")


def with_legend(drawing: Drawing, labels: Sequence[str]) -> Drawing:
    """A copy that says itself what its colours are: labels of the series that it has, or its own key."""
    present = {int(group.attrib["data-series"]) for group in drawing.root.iter("g") if "data-series" in group.attrib}
    entries = list(enumerate(drawing.key)) or [(i, label) for i, label in enumerate(labels) if i in present]
    made = copy.deepcopy(drawing)
    legend = made.add("g", class_=LEGEND, data_height=drawing.height)
    x, y = 4.0, drawing.height + LINE / 2
    for series, label in entries:
        text = shortened(label, int((drawing.width - ENTRY - 8) / 6.2))
        wide = ENTRY + 6.2 * len(text) + 12
        if x > 4 and x + wide > drawing.width:
            x, y = 4.0, y + LINE
        made.add("line", "", legend, x1=x, y1=y, x2=x + 18, y2=y, stroke_width=3, **stroke(series))
        made.add("circle", "", legend, cx=x + 9, cy=y, r=3.5, **fill(series))
        made.text(x + ENTRY, y + 4, text, font_size=11, into=legend)
        x += wide
    if entries:
        made.height = y + LINE
        made.root.set("viewBox", f"0 0 {made.width:g} {made.height:g}")
    return made


def can(drawing: Drawing) -> bool:
    """Whether it has only what is drawn here; figures of older versions have colours that run and words that stand."""
    return not any(element.tag == "defs" or "transform" in element.attrib for element in drawing.root.iter())


def pdf(drawing: Drawing) -> bytes:
    """The figure as a PDF, text as text in an embedded font. The same drawing gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with rc_context({"pdf.fonttype": 42, "font.family": FONT}):
        figure = Figure(figsize=(COLUMN, COLUMN * drawing.height / drawing.width))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
        ax.axis("off")
        points = 72 * COLUMN / drawing.width  # of a pixel
        for element in _shown(drawing.root):
            _draw(ax, element, points)
        figure.savefig(file, format="pdf", metadata={"CreationDate": None, "Title": drawing.root.get("aria-label")})
    return file.getvalue()


def _shown(root: Element) -> Iterator[Element]:
    for element in root:
        if element.tag in ("g", "svg"):
            yield from _shown(element)
        elif element.get("opacity") != "0":
            yield element


def _draw(ax: Any, element: Element, points: float) -> None:
    from matplotlib.image import imread
    from matplotlib.patches import Circle, PathPatch, Rectangle

    def at(name: str) -> float:
        return float(element.get(name, 0))

    if element.tag == "text":
        anchor = {"middle": "center", "end": "right"}.get(element.get("text-anchor", ""), "left")
        size, weight = float(element.get("font-size", 12)) * points, element.get("font-weight", "normal")
        written = {"size": size, "weight": int(weight) if weight.isdigit() else weight, "parse_math": False}
        ax.text(at("x"), at("y"), element.text, ha=anchor, va="baseline", color=element.get("fill"), **written)
    elif element.tag == "image":
        _, _, data = element.get("href", "").partition("base64,")
        ends = (at("x"), at("x") + at("width"), at("y") + at("height"), at("y"))
        pixels = imread(io.BytesIO(base64.b64decode(data)), format="png")
        limits = ax.get_xlim(), ax.get_ylim()
        ax.imshow(pixels, extent=ends, aspect="auto", interpolation="nearest", zorder=1)
        ax.set(xlim=limits[0], ylim=limits[1])
    else:
        style = _style(element, points)
        if element.tag == "circle":
            ax.add_patch(Circle((at("cx"), at("cy")), at("r"), **style))
        elif element.tag == "rect":
            ax.add_patch(Rectangle((at("x"), at("y")), at("width"), at("height"), **style))
        elif element.tag == "line":
            moves = f"M{element.get('x1')} {element.get('y1')}L{element.get('x2')} {element.get('y2')}"
            ax.add_patch(PathPatch(_path(moves), **style | {"fill": False}))
        elif element.tag == "path":
            ax.add_patch(PathPatch(_path(element.get("d", "")), **style))


def _style(element: Element, points: float) -> dict[str, Any]:
    line, inside = element.get("stroke"), element.get("fill", "none" if element.get("stroke") else "#000000")
    style: dict[str, Any] = {
        "edgecolor": line or "none",
        "facecolor": inside,
        "linewidth": float(element.get("stroke-width", 1)) * points if line else 0.0,
        "alpha": float(element.get("opacity", 1)),
        "fill": inside != "none",
        "zorder": 2,
    }
    if dashes := element.get("stroke-dasharray"):
        width = style["linewidth"] or 1.0
        style["linestyle"] = (0, [float(length) * points / width for length in dashes.split()])
    return style


def _path(moves: str) -> Any:
    """matplotlib's path of the moves that these drawings have: M L H V Z and, relative, l and m."""
    from matplotlib.path import Path

    places: list[tuple[float, float]] = []
    codes: list[Any] = []
    x = y = 0.0
    start = (0.0, 0.0)
    for command, written in MOVES.findall(moves):
        numbers = [float(number) for number in re.findall(r"-?\d*\.?\d+", written)]
        if command == "Z":
            places.append(start)
            codes.append(Path.CLOSEPOLY)
            continue
        pairs = (
            [(number, y) for number in numbers]
            if command == "H"
            else [(x, number) for number in numbers]
            if command == "V"
            else list(zip(numbers[::2], numbers[1::2], strict=True))
        )
        for i, pair in enumerate(pairs):
            x, y = (x + pair[0], y + pair[1]) if command in "lm" else pair
            begins = i == 0 and command in "Mm"
            start = (x, y) if begins else start
            places.append((x, y))
            codes.append(Path.MOVETO if begins else Path.LINETO)
    return Path(places, codes)
