"""Where the gradient signal dies: one word for a run, and a warning while there is time to stop it.

Judged by the convolutions of the blocks' branches alone, and by the root mean square of a layer's gradient, so that
width does not count: norms, projections, the stem and the head have gradients of another size in every network.
Each layer stands for itself by its median over `WINDOW` recorded steps.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from ablate.design.block import Block
from ablate.training.gradient_norms import GradientNorms
from ablate.training.history import last_steps

log = logging.getLogger(__name__)

WINDOW = 100  # recorded steps, the last ones: the first ten or so are wild in networks that then train well
LEAST = 20  # recorded steps before the first warning
# first_to_last below and above which the gradient vanishes or explodes; README, "Gradient flow", has the figures.
VANISHING, EXPLODING = 1e-2, 1e2
FLOOR = 1e-30  # what a gradient of exactly 0 counts as in a logarithm


@dataclass(frozen=True)
class Flow:
    """How the gradient of the branches' convolutions runs from the head to the image.

    verdict          vanishing, healthy or exploding
    first_to_last    the first convolution's root mean square, divided by the last one's
    decay_per_layer  slope of log10 of the root mean square over the convolutions: 0.1 means that the gradient loses
                     a fifth of its size at every convolution on its way to the image; negative: it grows

    Both numbers are NaN where a convolution's median is not finite, and the ratio where the last one's is 0.
    """

    verdict: str
    first_to_last: float
    decay_per_layer: float


def branch_convs(network: nn.Module) -> list[str]:
    """The names of the convolutions of all blocks' branches, from the image to the head."""
    return [
        f"{name}.{layer}"
        for name, block in network.named_modules()
        if isinstance(block, Block)
        for layer in block.branch_layers
        if isinstance(getattr(block, layer), nn.Conv2d)
    ]


def judged(rms: np.ndarray) -> Flow | None:
    """The flow in `rms` (steps, convolutions), the root mean squares; NaN where a layer had no gradient.

    A gradient that is not finite is given as inf. None where fewer than two convolutions have any.

    A median that is not finite explodes; else one of 0, wherever it is, vanishes; else the ratio decides.
    """
    medians = _medians(rms)
    medians = medians[~np.isnan(medians)]
    if len(medians) < 2:
        return None
    if np.isinf(medians).any():
        return Flow("exploding", math.nan, math.nan)
    slope = float(np.polyfit(np.arange(len(medians)), np.log10(np.maximum(medians, FLOOR)), 1)[0])
    first_to_last = float(medians[0] / medians[-1]) if medians[-1] else math.nan
    if (medians == 0).any() or first_to_last < VANISHING:
        verdict = "vanishing"
    else:
        verdict = "exploding" if first_to_last > EXPLODING else "healthy"
    return Flow(verdict, first_to_last, slope)


def flow_of(path: Path, network: nn.Module) -> Flow | None:
    """The flow over the last `WINDOW` recorded steps of a gradient_norms.parquet."""
    table = last_steps(path, WINDOW)
    position = {name: i for i, name in enumerate(branch_convs(network))}
    steps, row = np.unique(table["step"].to_numpy(), return_inverse=True)
    column = np.array([position.get(name, -1) for name in table["layer"].to_pylist()], dtype=int)
    rms = np.full((len(steps), len(position)), np.nan)
    kept = column >= 0
    rms[row[kept], column[kept]] = _infinite(table["rms"].to_numpy()[kept])
    return judged(rms)


class EarlyWarning:
    """Says in the log, once for each, that the gradient vanishes, explodes or is not finite: where, at which step.

    Once in a process: it is in no checkpoint. A run that goes on judges the steps from there, and may say it again.
    """

    def __init__(self, network: nn.Module, measured: GradientNorms) -> None:
        convs = set(branch_convs(network))
        self.layers = measured.layers
        self._convs = [i for i, layer in enumerate(measured.layers) if layer in convs]
        self._scale = np.sqrt([measured.sizes[i] for i in self._convs])
        self._rms = np.empty((0, len(self._convs)))
        self._said: set[str] = set()

    def see(self, steps: Sequence[int], norms: np.ndarray) -> None:
        """Look at the layers' norms (steps, layers) of the latest recorded steps; a negative one is no gradient."""
        for row, layer in np.argwhere(~np.isfinite(norms))[:1]:
            self._say("not finite", f"the gradient of {self.layers[layer]} is not finite at step {steps[row]}")
        norms = np.where(norms < 0, np.nan, _infinite(norms))
        self._rms = np.concatenate([self._rms, norms[:, self._convs] / self._scale])[-WINDOW:]
        if len(self._rms) < LEAST:
            return
        flow = judged(self._rms)
        if flow is None or flow.verdict == "healthy":
            return
        medians = _medians(self._rms)
        extreme = np.nanargmin(medians) if flow.verdict == "vanishing" else np.nanargmax(medians)
        self._say(
            flow.verdict,
            f"the gradient is {flow.verdict} at step {steps[-1]}: over the last {len(self._rms)} recorded steps the"
            f" root mean square of {self.layers[self._convs[extreme]]} has a median of {medians[extreme]:.1e}"
            f" (the first convolution of a branch, divided by the last: {flow.first_to_last:.1e})",
        )

    def _say(self, what: str, message: str) -> None:
        if what not in self._said:
            self._said.add(what)
            log.warning(message)


def _medians(rms: np.ndarray) -> np.ndarray:
    """Each column's median over what it has, NaN where it has nothing."""
    present = [column[~np.isnan(column)] for column in rms.T]
    return np.array([np.median(column) if len(column) else np.nan for column in present])


def _infinite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.inf)
