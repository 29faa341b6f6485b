"""Gradients in pictures for a page: maps of the training on one colour scale, and profiles over depth.

What they show is what a run's own pictures show: `ablate.training.gradients.drawing` says what that is.
"""

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.report.drawing.figures import padded
from ablate.report.drawing.svg import INK, PAPER, Drawing, Plot, log_ticks, path, shortened, ticks
from ablate.training.gradients import drawing as look
from ablate.training.gradients.reading import Gradients, thinned

LEFT, TOP, WIDTH, HEIGHT = 56, 36, 228, 150  # of a map within its figure
PROFILE, RIGHT = 314, 396  # a profile's ends
SHARPNESS = 2  # pixels of the map's image for one of the figure
LAYERS = 128  # that a map shows at most
UNKNOWN = -32768
MOMENTS = (0.35, 0.6, 1.0)  # how dark the start, the middle and the end of a training are


@dataclass(frozen=True)
class Profile:
    """log10 of the root mean square by depth, the mean over the training and over runs; and the runs' extremes."""

    depths: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def heat_map(label: str, said: str, gradients: Gradients) -> Drawing:
    """The map, the image's end at the top; beside it the gradients' own size. `said`: whose they are, the verdict."""
    gradients = thinned(gradients, LAYERS)
    drawing = Drawing(RIGHT + 4, TOP + HEIGHT + 36, f"gradients of {label}: {said}")
    drawing.text(0, 12, shortened(label, 56), font_weight=600)
    drawing.text(0, 27, shortened(said, 64), muted=True, font_size=11)
    pixels = look.image(gradients, WIDTH * SHARPNESS, HEIGHT * SHARPNESS)
    drawing.add(
        "image",
        "",
        x=LEFT,
        y=TOP,
        width=WIDTH,
        height=HEIGHT,
        preserveAspectRatio="none",
        href=_png(pixels),
        style="image-rendering: pixelated",
        class_="map",
        **{"data-map": _readable(gradients)},
    )
    parts, line = look.stages(gradients.layers), HEIGHT / len(gradients.layers)
    for part in parts[1:]:
        drawing.line(LEFT - 4, TOP + part.first * line, LEFT, TOP + part.first * line, "muted")
    for part in look.labelled(parts, len(gradients.layers), HEIGHT // 12):
        middle = TOP + (part.first + part.end) / 2 * line
        drawing.text(LEFT - 6, middle + 4, _abbreviated(part.name, 8), "end", muted=True, font_size=10)
    for step, words in ticks(0, gradients.steps, 4):
        x = LEFT + WIDTH * step / gradients.steps
        drawing.line(x, TOP + HEIGHT, x, TOP + HEIGHT + 3, "muted")
        drawing.text(x, TOP + HEIGHT + 14, words, "middle", muted=True, font_size=10)
    drawing.text(LEFT + WIDTH / 2, drawing.height - 6, "optimizer step", "middle", muted=True, font_size=10)
    _beside(drawing, gradients)
    return drawing


def scale() -> Drawing:
    """The colours of all maps, with ticks where the verdict changes."""
    drawing = Drawing(420, 50, "colours of the gradient maps")
    drawing.text(20, 10, look.WORDS, muted=True, font_size=11)
    drawing.add("image", "", x=20, y=16, width=380, height=12, preserveAspectRatio="none", href=_png(look.bar(380)))
    for value, words in look.TICKS:
        x = 20 + 380 * look.place(value)
        drawing.line(x, 28, x, 32, "muted")
        drawing.text(x, 44, words, "middle", muted=True)
    return drawing


def profile(profiles: Mapping[int, Profile], labels: Sequence[str]) -> Plot:
    """The gradient's root mean square by depth, the mean over the training; bands reach over the seeds."""
    low, high = padded([max(v, math.log10(look.LEAST)) for p in profiles.values() for v in (*p.low, *p.high)])
    plot = Plot(
        "gradient by depth",
        (0, 1),
        (low, high),
        x_label="depth, from the image (0) to the head (1)",
        y_label=look.ABSOLUTE,
        y_ticks=[(math.log10(value), label) for value, label in log_ticks(10**low, 10**high)],
    )
    for series, p in profiles.items():
        group = plot.group(series)
        bottom, middle, top = (
            list(zip(p.depths.tolist(), np.maximum(values, low).tolist(), strict=True))
            for values in (p.low, p.mean, p.high)
        )
        plot.band(bottom, top, series, group)
        plot.curve(middle, series, group)
        for depth, value in middle:
            x, y = plot.place(depth, value)
            said = f"{labels[series]}: {10**value:.3g} at depth {depth:.2f}"
            plot.add("circle", said, group, cx=x, cy=y, r=5, fill=PAPER, opacity=0, class_="hit")
    return plot


def _beside(drawing: Drawing, gradients: Gradients) -> None:
    """The root mean square of each layer at the start, the middle and the end of the training."""
    moments = look.moments(gradients)
    known = [np.maximum(gradients.rms[:, column], math.log10(look.LEAST)) for column in moments]
    if not known:
        return
    low, high = padded(np.concatenate([values[np.isfinite(values)] for values in known]).tolist())
    across = (RIGHT - PROFILE) / (high - low)
    shown = log_ticks(10**low, 10**high)
    for value, words in (shown[0], shown[-1]) if len(shown) > 1 else shown:
        x = PROFILE + (math.log10(value) - low) * across
        drawing.line(x, TOP, x, TOP + HEIGHT)
        within = min(x, drawing.width - 3.2 * len(words))
        drawing.text(within, TOP + HEIGHT + 14, words, "middle", muted=True, font_size=10)
    for column, values, opacity in zip(moments, known, MOMENTS[-len(moments) :], strict=True):
        heights = TOP + (np.arange(len(values)) + 0.5) * HEIGHT / len(values)
        points = [(PROFILE + (v - low) * across, y) for v, y in zip(values, heights, strict=True) if np.isfinite(v)]
        said = f"{look.ABSOLUTE}, {gradients.label(column)}"
        style = {"class_": "ink-line", "stroke": INK, "fill": "none", "stroke_width": 1.4, "opacity": opacity}
        drawing.add("path", said, d=path(points), **style)
    drawing.text(drawing.width, drawing.height - 6, look.ABSOLUTE, "end", muted=True, font_size=10)


def _readable(gradients: Gradients) -> str:
    """What a page tells where it is pointed at: layers, steps, and thousandths of log10 of the relative gradient."""
    values = np.where(np.isfinite(gradients.relative), gradients.relative * 1000, UNKNOWN).round()
    values = np.where(gradients.broken, UNKNOWN + 1, values).astype("<i2")
    told = {
        "layers": [layer.name for layer in gradients.layers],
        "steps": gradients.steps,
        "columns": gradients.relative.shape[1],
        "values": base64.b64encode(values.tobytes()).decode(),
    }
    return json.dumps(told, separators=(",", ":"))


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _abbreviated(name: str, length: int) -> str:
    """A part's name in so many characters: of a dotted one the last word too, which its neighbours do not share."""
    last = f".{name.rpartition('.')[2]}"
    if len(name) <= length or "." not in name:
        return shortened(name, length)
    return f"{name[: max(0, length - 1 - len(last))]}…{last}"[-length:]
