"""Screens: balanced two-level designs that change many choices together, in few runs.

Each effect is a contrast of all runs. Interactions of two choices are mixed into it: these are its aliases. Sources:
Plackett and Burman 1946, "The design of optimum multifactorial experiments", Biometrika 33, 305-325; Box, Hunter and
Hunter 2005, "Statistics for experimenters", chapters 6 and 7.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ablate.statistics.gaps import Levels
from ablate.statistics.paired import Difference

LEAST = 3  # a screen has at least this many choices


@dataclass(frozen=True)
class Alias:
    """Two choices whose interaction is mixed into an effect, and its weight: 1 or -1 is all of it, 1/3 a third.

    Here the interaction is half of the amount by which one choice's effect changes when the other is made too.
    """

    pair: tuple[int, int]
    weight: float


@dataclass(frozen=True)
class Pooled(Difference):
    """A contrast, one value per seed, whose standard error is pooled over all combinations.

    error    the standard deviation of one seed's contrast, from the residuals of combinations and seeds
    freedom  its degrees of freedom: (combinations - 1) * (seeds - 1)

    All weights of the contrast have the same size. So the pooled variance is right on average, even if the variances
    of the combinations differ.
    """

    error: float = 0.0
    freedom: int = 0

    @cached_property
    def deviation(self) -> float | None:
        return self.error if self.n > 1 else None

    @property
    def df(self) -> int:
        return self.freedom


def is_screen(design: Collection[Levels]) -> bool:
    """Whether the combinations are a screen: at least three choices with two values each, balanced for each pair of
    choices, and fewer than the full grid."""
    rows = sorted(design)
    if not rows or len(rows[0]) < LEAST or {level for row in rows for level in row} != {0, 1}:
        return False
    coded = _coded(rows)
    moments = np.vstack([coded, np.ones(len(rows))]) @ np.vstack([coded, np.ones(len(rows))]).T
    return len(rows) < 2 ** len(rows[0]) and np.allclose(moments, len(rows) * np.eye(len(moments)))


def aliases(design: Collection[Levels]) -> list[list[Alias]]:
    """For each choice, in order, the two-choice interactions that are mixed into its effect, largest weights first."""
    rows = sorted(design)
    coded = _coded(rows)
    found = []
    for effect in coded:
        weights = [
            Alias((i, j), float(effect @ (coded[i] * coded[j])) / len(rows))
            for i, j in combinations(range(len(coded)), 2)
        ]
        found.append(sorted((a for a in weights if abs(a.weight) > 1e-9), key=lambda alias: -abs(alias.weight)))
    return found


def contrasts(cells: Mapping[Levels, Mapping[int, float]], seeds: Sequence[int]) -> list[Pooled]:
    """For each choice and seed, the mean with the choice's second value minus the mean with its first.

    seeds  the seeds that all combinations have
    """
    rows = sorted(cells)
    table = np.array([[cells[row][seed] for seed in seeds] for row in rows])
    residuals = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    df = (len(rows) - 1) * (len(seeds) - 1)
    spread = math.sqrt(float((residuals**2).sum()) / df) if df else 0.0
    scale = float(np.abs(table).max())
    error = 2 * spread / math.sqrt(len(rows)) if spread > 1e-12 * scale else 0.0
    return [Pooled(tuple((2 / len(rows) * effect @ table).tolist()), error, df) for effect in _coded(rows)]


def _coded(rows: Sequence[Levels]) -> NDArray[np.float64]:
    """The design with a row for each choice: 1 for its second value, -1 for its first."""
    return 2.0 * np.array(rows, dtype=float).T - 1
