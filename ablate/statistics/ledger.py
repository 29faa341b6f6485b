"""Significance levels for judging candidates one after the other against the same baseline.

However many candidates there will be, the probability of calling any of them different by chance stays at 5%: their
levels add up to it. The j-th candidate gets a share proportional to j^-1.6. A candidate that is called different passes
its level on to the next one (online fallback: Tian and Ramdas 2021, doi:10.1177/0962280220983381). This holds for
dependent candidates too, so you may choose the next one after seeing the last result.
"""

from collections.abc import Sequence

from scipy.special import zeta

from ablate.statistics.paired import LEVEL

_FALL = 1.6


def share(number: int) -> float:
    """The share of the level for candidate `number`, counted from 1. All shares add up to 1."""
    return float(number**-_FALL / zeta(_FALL))


def next_level(before: Sequence[tuple[float, bool]]) -> float:
    """The level of the next candidate. before: the earlier candidates' levels, and whether each was called
    different."""
    passed_on = before[-1][0] if before and before[-1][1] else 0.0
    return LEVEL * share(len(before) + 1) + passed_on
