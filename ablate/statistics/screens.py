"""Screens: designs of two levels in which all choices change together, balanced, in few runs.

Each effect is a contrast of all runs. Interactions of two choices are mixed into it, its aliases. Plackett and Burman
1946, "The design of optimum multifactorial experiments", Biometrika 33, 305-325; Box, Hunter and Hunter 2005,
"Statistics for experimenters", chapters 6 and 7.
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

LEAST = 3  # choices of a screen


@dataclass(frozen=True)
class Alias:
    """Two choices whose interaction is mixed into an effect, and with what weight: 1 or -1 wholly, 1/3 a third of it.

    The interaction counts as half the change that one choice's effect makes where the other is changed too.
    """

    pair: tuple[int, int]
    weight: float


@dataclass(frozen=True)
class Pooled(Difference):
    """A contrast, one value per seed, judged by the spread of all combinations together.

    error    the standard deviation of one seed's contrast, by the residuals of combinations and seeds
    freedom  its degrees of freedom: (combinations - 1) * (seeds - 1)

    All weights of the contrast are of one size, so that the pooled variance is right on average where the combinations'
    own are not the same.
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
    """Whether the combinations are a screen: three choices or more of two values, balanced pair by pair, not all there
    are."""
    rows = sorted(design)
    if not rows or len(rows[0]) < LEAST or {level for row in rows for level in row} != {0, 1}:
        return False
    coded = _coded(rows)
    moments = np.vstack([coded, np.ones(len(rows))]) @ np.vstack([coded, np.ones(len(rows))]).T
    return len(rows) < 2 ** len(rows[0]) and np.allclose(moments, len(rows) * np.eye(len(moments)))


def aliases(design: Collection[Levels]) -> list[list[Alias]]:
    """Of each choice, in order, the interactions of two that its effect is mixed with; the largest weights first."""
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
    """Of each choice the mean with its second value less the mean with its first, seed by seed.

    seeds  those that all combinations have
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
    """The second value as 1, the first as -1: a row for each choice."""
    return 2.0 * np.array(rows, dtype=float).T - 1
