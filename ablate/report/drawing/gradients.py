"""Gradient norms in pictures: maps of the training on one colour scale, and profiles over depth."""

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ablate.comparison.series import Gradients
from ablate.report.drawing.figures import padded
from ablate.report.drawing.svg import PAPER, Drawing, Plot, log_ticks, number, shortened

# Cividis (Nunez, Anderton and Renslow 2018, PLOS ONE 13(7) e0199239), read alike by every kind of colour vision.
CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")


def heat_map(label: str, gradients: Gradients, low: float, high: float) -> Drawing:
    """log10 of the gradient norm: depth upwards from the image to the head, progress of the training to the right."""
    drawing = Drawing(200, 150, f"gradient norms of {label}")
    drawing.text(0, 12, shortened(label, 32), font_size=11)
    picture = base64.b64encode(_png(gradients.map, low, high)).decode()
    drawing.add(
        "image",
        "",
        x=14,
        y=20,
        width=186,
        height=112,
        preserveAspectRatio="none",
        href=f"data:image/png;base64,{picture}",
        style="image-rendering: pixelated",
    )
    drawing.text(200, 146, "training →", "end", muted=True, font_size=10)
    drawing.text(9, 132, "image → head", muted=True, font_size=10, transform="rotate(-90 9 132)")
    return drawing


def colour_bar(low: float, high: float) -> Drawing:
    drawing = Drawing(420, 44, "colours of the gradient norms")
    defs = drawing.add("defs")
    gradient = drawing.add("linearGradient", "", defs, id="cividis")
    for i, colour in enumerate(CIVIDIS):
        drawing.add("stop", "", gradient, offset=f"{number(i / (len(CIVIDIS) - 1) * 100)}%", stop_color=colour)
    drawing.add("rect", "", x=20, y=4, width=380, height=12, fill="url(#cividis)")
    for i in range(5):
        value = low + (high - low) * i / 4
        drawing.text(20 + 380 * i / 4, 32, f"{10**value:.2g}", "middle", muted=True)
    return drawing


def profile(gradients: Mapping[int, Gradients], labels: Sequence[str]) -> Plot:
    """The gradient norm by depth, the mean over the training; bands reach over the seeds."""
    ends = [v for g in gradients.values() for v in (*g.low, *g.high)]
    low, high = padded(ends)
    plot = Plot(
        "gradient norm by depth",
        (0, 1),
        (low, high),
        x_label="depth, from the image (0) to the head (1)",
        y_label="gradient norm",
        y_ticks=[(math.log10(value), label) for value, label in log_ticks(10**low, 10**high)],
    )
    for series, g in gradients.items():
        group = plot.group(series)
        plot.band(list(zip(g.depths, g.low, strict=True)), list(zip(g.depths, g.high, strict=True)), series, group)
        plot.curve(list(zip(g.depths, g.profile, strict=True)), series, group)
        for depth, value in zip(g.depths, g.profile, strict=True):
            x, y = plot.place(float(depth), float(value))
            said = f"{labels[series]}: {10**value:.3g} at depth {depth:.2f}"
            plot.add("circle", said, group, cx=x, cy=y, r=5, fill=PAPER, opacity=0, class_="hit")
    return plot


def _png(values: np.ndarray, low: float, high: float) -> bytes:
    from PIL import Image

    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in CIVIDIS], dtype=float)
    scaled = np.clip((values[::-1] - low) / (high - low or 1), 0, 1) * (len(CIVIDIS) - 1)
    known = np.isfinite(scaled)
    channels = [np.interp(np.where(known, scaled, 0), range(len(CIVIDIS)), stops[:, i]) for i in range(3)]
    pixels = np.stack([*channels, np.where(known, 255, 0)], axis=-1).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", optimize=True)
    return file.getvalue()
