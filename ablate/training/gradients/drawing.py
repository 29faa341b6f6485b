"""What all pictures of gradients share, in PNG files and on the report's page: colours, ticks, labels.

The colour of a layer at a step shows log10 of the RMS (root mean square) of its gradient, divided by the head's RMS at
the same step. The scale is the same for all networks: blue if the gradient shrinks on its way to the image, white if it
is even, orange if it grows, hatched if it is not finite.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.training.gradients.layers import Layer
from ablate.training.gradients.reading import Gradients
from ablate.training.gradients.thresholds import EXPLODING, VANISHING

DECADES = 4  # the scale's length on each side of 1; values beyond it have the last colour
EVEN = 0.5  # decades on each side of 1 that are white: within a factor of 3
# ColorBrewer's RdBu and PuOr (colorbrewer2.org, Cynthia Brewer), which are safe for colour-blind readers.
FADING = ("#f7f7f7", "#d1e5f0", "#92c5de", "#4393c3", "#2166ac", "#053061")
GROWING = ("#f7f7f7", "#fee0b6", "#fdb863", "#e08214", "#b35806", "#7f3b08")
HATCH = ("#2b2b2b", "#c9c9c9")
STRIPE = 4  # pixels
LEAST = 1e-12  # an RMS axis ends here, because a gradient of 0 has no place on a logarithmic axis
WORDS = "gradient of a layer, divided by the last layer's at the same step"
ABSOLUTE = "RMS of the gradient"
# The scale's ticks: its ends, its middle, and the thresholds of the verdict.
TICKS = (
    (10.0**-DECADES, f"≤ 1e-{DECADES}"),
    (VANISHING, f"{VANISHING:g}"),
    (1.0, "1 even"),
    (EXPLODING, f"{EXPLODING:g}"),
    (10.0**DECADES, f"≥ 1e{DECADES}"),
)


@dataclass(frozen=True)
class Stage:
    """A part of a network: the positions of its first layer (`first`) and of the one after its last layer (`end`)."""

    name: str
    first: int
    end: int


def colours(relative: np.ndarray) -> np.ndarray:
    """The colours of log10 of relative gradients, RGBA as uint8 in an additional last axis; transparent for NaN."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (*FADING[:0:-1], *GROWING)], dtype=float)
    ends = np.linspace(EVEN, DECADES, len(FADING))
    places = np.array([*-ends[:0:-1], *ends])
    middle = len(FADING) - 1  # white from -EVEN to EVEN
    stops, places = np.insert(stops, middle, stops[middle], 0), np.insert(places, middle, -EVEN)
    known = np.isfinite(relative)
    values = np.where(known, relative, 0)
    channels = [np.interp(values, places, stops[:, i]) for i in range(3)]
    return np.stack([*channels, np.where(known, 255, 0)], axis=-1).round().astype(np.uint8)


def image(gradients: Gradients, width: int, height: int) -> np.ndarray:
    """The map as RGBA pixels, uint8 (height, width, 4). The first layer is at the top; steps run to the right."""
    rows = np.arange(height) * len(gradients.layers) // height
    columns = np.arange(width) * gradients.relative.shape[1] // width
    pixels = colours(gradients.relative)[rows[:, None], columns]
    dark, light = (np.array([*bytes.fromhex(c[1:]), 255], dtype=np.uint8) for c in HATCH)
    stripes = ((np.arange(height)[:, None] + np.arange(width)) // STRIPE % 2).astype(bool)
    hatched = np.where(stripes[..., None], dark, light)
    return np.where(gradients.broken[rows[:, None], columns, None], hatched, pixels)


def bar(width: int) -> np.ndarray:
    """The scale's colours from left to right, RGBA, uint8 (1, width, 4)."""
    return colours(np.linspace(-DECADES, DECADES, width)[None])


def place(value: float) -> float:
    """The position of a relative gradient on the scale, from 0 (left) to 1 (right)."""
    return float(np.clip((np.log10(value) + DECADES) / (2 * DECADES), 0, 1))


def stages(layers: Sequence[Layer]) -> list[Stage]:
    """Groups layers into parts by the first word of their names, or by more words if one part would hold most
    layers."""
    found: list[Stage] = []
    for words in (1, 2, 3):
        names = [".".join(layer.name.split(".")[:words]) or "itself" for layer in layers]
        starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
        found = [Stage(names[i], i, end) for i, end in zip(starts, [*starts[1:], len(names)], strict=True)]
        if max(stage.end - stage.first for stage in found) <= 0.6 * len(layers):
            break
    return found


def labelled(found: Sequence[Stage], layers: int, lines: int) -> list[Stage]:
    """The stages whose names fit beside a map without overlapping, if there is room for `lines` lines of text."""
    kept: list[Stage] = []
    for stage in sorted(found, key=lambda stage: stage.first - stage.end):
        middle = (stage.first + stage.end) / 2
        if all(abs(middle - (other.first + other.end) / 2) >= layers / lines for other in kept):
            kept.append(stage)
    return sorted(kept, key=lambda stage: stage.first)


def moments(gradients: Gradients) -> list[int]:
    """The columns that a profile shows: the first, the middle and the last one with a gradient."""
    known = np.flatnonzero(np.isfinite(gradients.rms).any(axis=0))
    return list(dict.fromkeys(int(known[i]) for i in (0, len(known) // 2, -1))) if len(known) else []
