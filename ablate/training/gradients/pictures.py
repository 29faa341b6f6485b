"""Pictures of how the gradient flows through a network during training, as matplotlib figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ablate.training.gradients import drawing
from ablate.training.gradients.reading import Gradients

if TYPE_CHECKING:  # imported in the functions that draw: it takes half a second
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLUMNS = 256  # columns of a map; each shows the geometric mean over its steps
DPI = 120
ACROSS = 2  # runs side by side
# Inches. The margins are fixed, because matplotlib takes as long to find them as to draw the rest.
NAMES, MAP, GAP, PROFILE, END = 0.75, 3.6, 0.25, 1.25, 0.2
TOP, HEIGHT, STEPS, SCALE = 0.52, 2.7, 0.55, 0.62
MOMENTS = ("#9db7d5", "#4a7db5", "#14345b")  # the start, the middle and the end of a training


def heat_maps(several: Mapping[str, Gradients]) -> "Figure":
    """For each run, by title, a map of its gradients relative to the head's, and beside it a profile of their size."""
    from matplotlib.figure import Figure

    wide, high = NAMES + MAP + GAP + PROFILE + END, TOP + HEIGHT + STEPS
    rows = -(-len(several) // ACROSS)
    width, height = min(len(several), ACROSS) * wide, rows * high + SCALE
    figure = Figure(figsize=(width, height))

    def axes(left: float, bottom: float, across: float, up: float) -> "Axes":
        return figure.add_axes((left / width, bottom / height, across / width, up / height))

    for i, (title, gradients) in enumerate(several.items()):
        left, bottom = i % ACROSS * wide + NAMES, SCALE + (rows - 1 - i // ACROSS) * high + STEPS
        _map(axes(left, bottom, MAP, HEIGHT), title, gradients)
        _profile(axes(left + MAP + GAP, bottom, PROFILE, HEIGHT), gradients)
    _scale(axes(NAMES, SCALE - 0.2, MAP, 0.13))
    return figure


def rms_by_step(gradients: Gradients) -> "Figure":
    """The RMS over the steps, for the first, the middle and the last layer with a matrix or a kernel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8))
    ax = figure.subplots(gridspec_kw={"left": 0.11, "right": 0.985, "bottom": 0.125, "top": 0.975})
    columns = gradients.rms.shape[1]
    middles = (np.arange(columns) + 0.5) * gradients.steps / columns
    last = len(gradients.layers) - 1
    for i in dict.fromkeys((0, (last + 1) // 2, last)):
        layer = gradients.layers[i]
        ax.plot(middles, 10 ** gradients.rms[i], label=f"{layer.name or 'itself'} (depth {layer.depth:.2f})", lw=1)
    ax.set(xlabel="optimizer step", ylabel=drawing.ABSOLUTE, yscale="log")
    _log_ticks(ax.yaxis)
    ax.legend(fontsize=8, loc="upper right")
    return figure


def _map(ax: "Axes", title: str, gradients: Gradients) -> None:
    pixels = drawing.image(gradients, round(MAP * DPI), round(HEIGHT * DPI))
    ax.imshow(pixels, aspect="auto", interpolation="nearest", extent=(0, gradients.steps, len(gradients.layers), 0))
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_xlabel("optimizer step", fontsize=8)
    stages = drawing.stages(gradients.layers)
    for stage in stages[1:]:
        ax.axhline(stage.first, color="#5d6670", lw=0.5, alpha=0.6)
    named = drawing.labelled(stages, len(gradients.layers), 16)
    ax.set_yticks([(stage.first + stage.end) / 2 for stage in named], [stage.name for stage in named])
    ax.tick_params("y", length=0, labelsize=7)
    ax.tick_params("x", labelsize=7)


def _profile(ax: "Axes", gradients: Gradients) -> None:
    places = np.arange(len(gradients.layers)) + 0.5
    moments = drawing.moments(gradients)
    for column, colour in zip(moments, MOMENTS[-len(moments) :] if moments else (), strict=True):
        ax.plot(10 ** gradients.rms[:, column], places, color=colour, lw=1.1, label=gradients.label(column))
    ax.set(xscale="log", ylim=(len(gradients.layers), 0), yticks=[])
    ax.set_xlim(left=max(ax.get_xlim()[0], drawing.LEAST))
    ax.set_xlabel(drawing.ABSOLUTE, fontsize=8)
    _log_ticks(ax.xaxis)
    ax.tick_params("x", labelsize=7)
    ax.grid(axis="x", lw=0.4, alpha=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    if moments:
        ax.legend(fontsize=6, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1, handlelength=1, frameon=False)


def _log_ticks(axis: "Axis") -> None:
    """Few ticks, in plain text: drawing powers as formulas, and ticks between, takes as long as all the rest."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    least, most = sorted(axis.get_view_interval())
    within_decades = (1.0,) if most >= 100 * least else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=within_decades))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _scale(ax: "Axes") -> None:
    ax.imshow(drawing.bar(256), aspect="auto", extent=(0, 1, 0, 1))
    ax.set_yticks([])
    ax.set_xticks([drawing.place(value) for value, _ in drawing.TICKS], [label for _, label in drawing.TICKS])
    ax.tick_params("x", labelsize=7)
    ax.set_title(drawing.WORDS, fontsize=7, loc="left", pad=2)
