"""Judges how the gradient flows through a network: a verdict for each run, and a warning while it trains.

A layer counts by the root mean square (RMS) of its gradient, so that its width does not matter, and by the median of
that over `WINDOW` recorded steps. This project's networks are judged by the convolutions of the blocks' branches; other
networks by all layers with a matrix or a kernel, except the first and the last. Norms, projections and the stem are
ignored: the scale of their gradients is not comparable between networks.

In other networks depthwise kernels, attention and perceptrons alternate, so the median of a quarter of the layers
stands for each end. There a ratio only counts as exploding if the quarter at the image is also above `GROWN` times the
last layer: if branches start at zero, as in timm's ResNets, the quarter at the head is small although nothing has
grown. On digits, timm's resnet10t has ratios of 430 to 1,900 after 40 to 160 steps, and test_resnet of 102 to 1,080
after 40 to 400, with a gradient at the image of 0.6 to 1.6 times the last layer's. Both then have 94% of the test set
right.

A gradient can be even and still too large everywhere, for example if a network without norm starts from weights that
are too large. So the size counts too: the median over the convolutions, at the first `FIRST` and at the last `WINDOW`
recorded steps. `LARGE` and `OVER_HEAD` were chosen from these measurements:

- 46 networks of conf/ with their own initialisation and a finite loss (ResNet-18, 20, 50, 56, 110, VGG-11 and those of
  the teaching documents; all norms and shortcuts, other placements, optimizers, initialisations and batch sizes; digits
  and Fashion-MNIST, 12 to 160 steps). First steps: 2e-5 to 0.16, and 0.2 and 0.3 in ResNet-110 and 56 without norm,
  whose loss starts at 2,800 and 140. Last steps: 0.13 at most. Divided by the head's RMS: 0.008 to 9.
- ResNet-20 without norm, plain and residual, learning rate 1e-7, weights multiplied by 1.5: 0.4 and 5; by 2: 100 and
  350; by 3: 4e3 and 3e3 (2e5 and 4e5 at step 0). Here the head's RMS is as large as the other layers', so the ratio to
  the head does not show weights that are too large. It shows growth between the head and the blocks.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import nn

from ablate.design.block import Block
from ablate.training.gradients.layers import MATRIX
from ablate.training.gradients.norms import GradientNorms
from ablate.training.gradients.reading import FLOOR
from ablate.training.gradients.thresholds import EXPLODING, VANISHING
from ablate.training.saving.history import first_steps, last_steps

log = logging.getLogger(__name__)

WINDOW = 100  # the last recorded steps. The first ten or so vary wildly, also in networks that then train well
LEAST = 20  # recorded steps before the first warning
FIRST = 10  # recorded steps at the beginning, whose size counts too
# Sizes above which an even gradient counts as exploding: the size itself, and divided by that of the last layer (head).
LARGE, OVER_HEAD = 1.0, 1e2
GROWN = 10.0  # of networks of others, above which times the head's a gradient at the image has grown


@dataclass(frozen=True)
class Flow:
    """How the gradient flows from the head to the image, over the layers that are judged.

    verdict          vanishing, even or exploding
    first_to_last    the RMS of the layers near the image, divided by that of the layers near the head
    decay_per_layer  slope of log10 of the RMS over the layers. 0.1: the gradient loses a fifth of its size at every
                     layer on its way to the image; negative: it grows
    size             median RMS over the layers, at the first steps or at the last ones, whichever is larger

    The numbers are NaN if a layer's median is not finite; the ratio also if that near the head is 0.
    """

    verdict: str
    first_to_last: float
    decay_per_layer: float
    size: float


def branch_convs(network: nn.Module) -> list[str]:
    """The names of the convolutions of all blocks' branches, from the image to the head."""
    return [
        f"{name}.{layer}"
        for name, block in network.named_modules()
        if isinstance(block, Block)
        for layer in block.branch_layers
        if isinstance(getattr(block, layer), nn.Conv2d)
    ]


def judged_layers(network: nn.Module) -> tuple[list[str], int]:
    """The names of the layers that are judged, from the image to the head, and how many of them stand for each end."""
    if convs := branch_convs(network):
        return convs, 1
    layers = [layer.name for layer in GradientNorms(network).described if layer.kind == MATRIX][1:-1]
    return layers, max(1, len(layers) // 4)


def judged(
    rms: np.ndarray,
    head: np.ndarray | None = None,
    first: np.ndarray | None = None,
    ends: int = 1,
    of_others: bool = False,
) -> Flow | None:
    """The flow, judged by `rms` (steps, layers): NaN if a layer had no gradient, inf if it was not finite.

    head       (steps,), the RMS of the network's last layer at the same steps
    first      (steps, layers), the RMS at the run's first steps
    ends       how many layers stand for each end
    of_others  whether the network is not one of this project's

    None if fewer than two layers have a gradient. The verdict is exploding if a median is not finite; otherwise
    vanishing if a median is 0; otherwise the ratio decides, and if that is even, the size.
    """
    medians = _medians(rms)
    medians = medians[~np.isnan(medians)]
    if len(medians) < 2:
        return None
    if np.isinf(medians).any():
        return Flow("exploding", math.nan, math.nan, math.nan)
    slope = float(np.polyfit(np.arange(len(medians)), np.log10(np.maximum(medians, FLOOR)), 1)[0])
    near_image, near_head = (float(np.median(some)) for some in (medians[:ends], medians[-ends:]))
    first_to_last = near_image / near_head if near_head else math.nan
    size = float(np.median(medians))
    beside = _typical(head)
    relative = size / beside if beside and math.isfinite(beside) else 0.0
    has_grown = not (of_others and beside) or near_image > GROWN * beside
    size = max(size, _typical(first) or 0.0)
    if (medians == 0).any() or first_to_last < VANISHING:
        verdict = "vanishing"
    else:
        explodes = (first_to_last > EXPLODING and has_grown) or relative > OVER_HEAD or size > LARGE
        verdict = "exploding" if explodes else "even"
    return Flow(verdict, first_to_last, slope, size if math.isfinite(size) else math.nan)


def flow_of(path: Path, network: nn.Module) -> Flow | None:
    """The flow over the last `WINDOW` and the first `FIRST` recorded steps of a gradient_norms.parquet."""
    (layers, ends), last = judged_layers(network), last_steps(path, WINDOW)
    names = dict(zip(last["depth"].to_pylist(), last["layer"].to_pylist(), strict=True))
    head = _table(last, [names[max(names)]]) if names else None
    first = _table(first_steps(path, FIRST), layers)
    return judged(_table(last, layers), head, first, ends, not branch_convs(network))


def _table(table: pa.Table, layers: Sequence[str]) -> np.ndarray:
    """The RMS of `layers`, (steps, layers); NaN where the table has none."""
    position = {name: i for i, name in enumerate(layers)}
    steps, row = np.unique(table["step"].to_numpy(), return_inverse=True)
    column = np.array([position.get(name, -1) for name in table["layer"].to_pylist()], dtype=int)
    rms = np.full((len(steps), len(position)), np.nan)
    kept = column >= 0
    rms[row[kept], column[kept]] = _infinite(table["rms"].to_numpy()[kept])
    return rms


def _typical(rms: np.ndarray | None) -> float | None:
    """The median over the layers of each layer's median over steps; None if no layer has a gradient."""
    medians = np.array([]) if rms is None else _medians(rms if rms.ndim == 2 else rms[:, None])
    medians = medians[~np.isnan(medians)]
    return float(np.median(medians)) if len(medians) else None


class EarlyWarning:
    """Logs a warning if the gradient vanishes, explodes or is not finite, with the layer and the step.

    Each kind of warning is logged once per process. Checkpoints do not store it, so a resumed run may repeat one.
    """

    def __init__(self, network: nn.Module, measured: GradientNorms) -> None:
        judged_names, self._ends = judged_layers(network)
        self._of_others = not branch_convs(network)
        convs = set(judged_names)
        self.layers = measured.layers
        self._convs = [i for i, layer in enumerate(measured.layers) if layer in convs]
        self._scale = np.sqrt([measured.sizes[i] for i in self._convs])
        self._head_scale = math.sqrt(measured.sizes[-1]) if measured.sizes else 1.0
        self._first = self._rms = np.empty((0, len(self._convs)))
        self._head = np.empty(0)
        self._warned: set[str] = set()
        self.verdict: str | None = None  # of the latest recorded steps

    def see(self, steps: Sequence[int], norms: np.ndarray) -> None:
        """Judge with the latest recorded steps. norms: (steps, layers); negative if a layer has no gradient."""
        for row, layer in np.argwhere(~np.isfinite(norms))[:1]:
            self._warn("not finite", f"the gradient of {self.layers[layer]} is not finite at step {steps[row]}")
        norms = np.where(norms < 0, np.nan, _infinite(norms))
        rms = norms[:, self._convs] / self._scale
        self._first = np.concatenate([self._first, rms])[:FIRST]
        self._rms = np.concatenate([self._rms, rms])[-WINDOW:]
        self._head = np.concatenate([self._head, norms[:, -1] / self._head_scale])[-WINDOW:]
        if len(self._rms) < LEAST:
            return
        flow = judged(self._rms, self._head, self._first, self._ends, self._of_others)
        self.verdict = flow.verdict if flow else None
        if flow is None or flow.verdict == "even":
            return
        if flow.verdict == "exploding" and flow.first_to_last <= EXPLODING:
            self._warn(
                flow.verdict,
                f"the gradient is exploding at step {steps[-1]}: it is even over depth, but its root mean square is"
                f" {flow.size:.1e} (median over the layers). In networks that train it is below {LARGE:g}, and below"
                f" {OVER_HEAD:g} times that of the last layer",
            )
            return
        medians = _medians(self._rms)
        extreme = np.nanargmin(medians) if flow.verdict == "vanishing" else np.nanargmax(medians)
        self._warn(
            flow.verdict,
            f"the gradient is {flow.verdict} at step {steps[-1]}: over the last {len(self._rms)} recorded steps the"
            f" root mean square of {self.layers[self._convs[extreme]]} has a median of {medians[extreme]:.1e}"
            f" (layers near the image divided by layers near the head: {flow.first_to_last:.1e})",
        )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(message)


def _medians(rms: np.ndarray) -> np.ndarray:
    """Each column's median without NaN; NaN if it has nothing else."""
    present = [column[~np.isnan(column)] for column in rms.T]
    return np.array([np.median(column) if len(column) else np.nan for column in present])


def _infinite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.inf)
