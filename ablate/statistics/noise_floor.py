"""One design against itself: how large a difference between means of a few seeds luck alone makes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.statistics.judgement import assessed
from ablate.statistics.paired import LEVEL, Difference
from ablate.statistics.splits import low_seeds

SIZES = (1, 2, 3, 4, 5, 8, 12, 16)
DRAWS = 1000


@dataclass(frozen=True)
class Floor:
    """Of two halves of so many seeds each, drawn from those of one design.

    higher  the share of draws in which one of them has the higher mean, by whatever
    within  what 95 of 100 differences of their means stay below; None where too many seeds are lost
    called  the share in which the report's test calls one of them better; None of one seed each
    """

    seeds: int
    higher: float
    within: float | None
    called: float | None


def noise_floor(values: Sequence[float], chance: float | None = None, draws: int = DRAWS) -> list[Floor]:
    """Draw two groups of 1, 2, 3 … seeds without a seed in common, as often as asked, the same draws every time.

    values  larger is better, -inf is a run that was lost
    chance  the accuracy of guessing, where the values are accuracies
    """
    random = np.random.default_rng(0)
    found = []
    for n in (size for size in SIZES if 2 * size <= len(values)):
        pairs = [np.split(random.permutation(np.asarray(values))[: 2 * n], 2) for _ in range(draws)]
        means = [float(ours.mean() - theirs.mean()) for ours, theirs in pairs if np.isfinite([ours, theirs]).all()]
        is_told = len(means) > draws / 2
        called = [_is_called(list(map(float, ours)), list(map(float, theirs)), chance) for ours, theirs in pairs]
        found.append(
            Floor(
                seeds=n,
                higher=float(np.mean([ours.mean() > theirs.mean() for ours, theirs in pairs])),
                within=float(np.quantile(np.abs(means), 1 - LEVEL)) if is_told else None,
                called=sum(called) / draws if n > 1 else None,
            )
        )
    return found


def _is_called(ours: list[float], theirs: list[float], chance: float | None) -> bool:
    """Whether a report of these two alone calls one of them better or worse."""
    finished = [{i: value for i, value in enumerate(side) if value != -math.inf} for side in (theirs, ours)]
    low = tuple(map(len, reversed(low_seeds(finished, chance))))
    common = [i for i in finished[1] if i in finished[0]]
    difference = Difference(tuple(finished[1][i] - finished[0][i] for i in common)) if common else None
    test = assessed(difference, ours, theirs, low=(0, 0) if low == (len(ours), len(theirs)) else (low[0], low[1]))
    return test.verdict(test.p) in ("better", "worse")
