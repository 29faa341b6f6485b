"""Testing at several looks: seeds are added in rounds, and a difference may be called after each of them.

Looking four times at 5% each finds a difference where there is none in one of eight comparisons. So each look gets a
stricter level, such that all looks together keep the level that one alone would have. How much of it each look may
spend is a function of the share of the seeds it has (Lan and DeMets 1983, doi:10.1093/biomet/70.3.659). With a handful
of seeds the statistics are Student's, not normal, and depend on each other: the bounds come from a simulation of their
joint distribution where nothing differs (`_null`), drawn with a fixed seed, so that everyone has the same bounds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablate.errors import InputError
from ablate.statistics.paired import LEVEL

Floats = NDArray[np.float64]

_DRAWS = 2**21
# Below so many draws that cross at a look, the level that the look spends is taken as if it stood alone, which errs
# towards finding nothing.
_FEWEST = 200


def obrien_fleming(share: float, level: float) -> float:
    """What may be spent of a two-sided level by then: almost nothing early, almost all at the end."""
    return 4 * float(stats.norm.sf(stats.norm.isf(level / 4) / math.sqrt(share)))


def pocock(share: float, level: float) -> float:
    """What may be spent of a two-sided level by then: about the same at each look."""
    return level * math.log(1 + (math.e - 1) * share)


SPENDING: dict[str, Callable[[float, float], float]] = {"pocock": pocock, "obrien_fleming": obrien_fleming}


@dataclass(frozen=True)
class Looks:
    """When one looks, in seeds, and how the level is spent over these looks.

    Raises InputError for looks that are no rising numbers of seeds from 2 up.
    """

    seeds: tuple[int, ...]
    spending: str = "pocock"

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.seeds, self.seeds[1:], strict=False))
        if not self.seeds or self.seeds[0] < 2 or not rising:
            raise InputError(
                f"--looks {','.join(map(str, self.seeds))}: give rising numbers of seeds, from 2 up, such as 4,6,8,12."
            )
        if self.spending not in SPENDING:
            raise InputError(f"--spending {self.spending}: there are {', '.join(SPENDING)}.")

    def spent(self, level: float) -> tuple[float, ...]:
        """What each look spends of the level; together all of it."""
        upto = [SPENDING[self.spending](n / self.seeds[-1], level) for n in self.seeds]
        return tuple(now - before for before, now in zip([0.0, *upto], upto, strict=False))

    def bounds(self, level: float = LEVEL) -> tuple[float, ...]:
        """Of each look the two-sided p of the paired t-test at or below which a difference may be called.

        Where nothing differs, the probability that any look's p comes below its bound is `level`.
        """
        return _bounds(self, level)

    def half_width(self, look: int, deviation: float, level: float = LEVEL) -> float:
        """Half of the repeated confidence interval (Jennison and Turnbull 1989) at a look: the mean difference plus
        and minus it holds the true one at all looks at once with a probability of 1 - level, wherever one stops."""
        n = self.seeds[look]
        return float(stats.t.isf(self.bounds(level)[look] / 2, n - 1)) * deviation / math.sqrt(n)


@cache
def _bounds(looks: Looks, level: float) -> tuple[float, ...]:
    t = _null(looks.seeds)
    inside = np.ones(_DRAWS, dtype=bool)
    bounds: list[float] = []
    for k, (n, spend) in enumerate(zip(looks.seeds, looks.spent(level), strict=True)):
        crossing = round(spend * _DRAWS)
        if k == 0 or crossing < _FEWEST:
            bound = spend
        else:
            still = t[k][inside]
            limit = float(np.partition(still, -crossing)[-crossing])
            # At least the level of a look that stands alone, which is always allowed.
            bound = max(spend, float(2 * stats.t.sf(limit, n - 1)))
        bounds.append(bound)
        inside &= t[k] < stats.t.isf(bound / 2, n - 1)
    return tuple(bounds)


@cache
def _null(seeds: tuple[int, ...]) -> list[Floats]:
    """|t| of the paired t-test at each look, of draws where the true difference is 0.

    From each look to the next the sum and the sum of squares of the new seeds are drawn rather than these themselves.
    """
    random = np.random.default_rng(0)
    total, squares, before, found = np.zeros(_DRAWS), np.zeros(_DRAWS), 0, []
    for n in seeds:
        new = n - before
        added = math.sqrt(new) * random.standard_normal(_DRAWS)
        squares += added**2 / new
        if new > 1:
            squares += random.chisquare(new - 1, _DRAWS)
        total += added
        variance = (squares - total**2 / n) / (n - 1)
        found.append(np.abs(total) / np.sqrt(n * variance))
        before = n
    return found


def rejected(
    p: Sequence[float | None],
    bounds: Sequence[Callable[[float], float]],
    family: int,
    already: int = 0,
    level: float = LEVEL,
) -> list[bool]:
    """Which of the p-values of one look may be called, by Holm's procedure for looks (Ye et al. 2013,
    doi:10.1002/sim.5700).

    p        of those that are still open; None is no test
    bounds   of each of them, this look's bound at a level
    family   how many there were from the start
    already  how many of them have been called before
    level    of all of them together

    Each that is called leaves its level to the others, whose bounds rise, at once and at later looks.
    """
    called = [False] * len(p)
    while True:
        own = level / max(1, family - already - sum(called))
        more = [
            not done and value is not None and value <= bound(own)
            for done, value, bound in zip(called, p, bounds, strict=True)
        ]
        if not any(more):
            return called
        called = [a or b for a, b in zip(called, more, strict=True)]


def chance_to_decide(
    looks: Looks, look: int, mean: float, deviation: float, level: float, margin: float | None, draws: int = 2000
) -> float:
    """The probability that a later look calls a difference, or finds it within the margin, given what is known.

    The predictive one: the true mean and deviation are drawn from what the seeds so far say of them (with the usual
    flat prior), the seeds to come from these.
    """
    random = np.random.default_rng(look)
    n = looks.seeds[look]
    sigma = deviation * np.sqrt((n - 1) / random.chisquare(n - 1, draws))
    mu = mean + sigma * random.standard_normal(draws) / math.sqrt(n)
    total, squares, before = np.full(draws, n * mean), np.full(draws, (n - 1) * deviation**2 + n * mean**2), n
    decided = np.zeros(draws, dtype=bool)
    for later, bound in list(enumerate(looks.bounds(level)))[look + 1 :]:
        count = looks.seeds[later]
        new = count - before
        added = new * mu + math.sqrt(new) * sigma * random.standard_normal(draws)
        squares += added**2 / new + (sigma**2 * random.chisquare(new - 1, draws) if new > 1 else 0)
        total += added
        error = np.sqrt(np.maximum(squares - total**2 / count, 0) / (count - 1) / count)
        half = stats.t.isf(bound / 2, count - 1) * error
        decided |= np.abs(total / count) > half
        if margin is not None:
            decided |= np.abs(total / count) + half < margin
        before = count
    return float(decided.mean())
