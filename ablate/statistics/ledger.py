"""Judging one candidate after the other against one baseline, without believing the hundredth for luck.

However many there will be, the probability that any of them is called different that is not stays at 5%: the levels of
all of them add up to it. The j-th gets a share that falls like j^-1.6, and a candidate that was called hands its level
on to the next one (online fallback: Tian and Ramdas 2021, doi:10.1177/0962280220983381). That holds whatever the
candidates have to do with each other, so the next one may be chosen by how the last one fared.
"""

from collections.abc import Sequence

from scipy.special import zeta

from ablate.statistics.paired import LEVEL

_FALL = 1.6


def share(number: int) -> float:
    """Of the level, that of the candidate with this number, from 1 up; over all numbers they add up to 1."""
    return float(number**-_FALL / zeta(_FALL))


def next_level(before: Sequence[tuple[float, bool]]) -> float:
    """The level of the next candidate, after others with their levels and whether they were called different."""
    handed_on = before[-1][0] if before and before[-1][1] else 0.0
    return LEVEL * share(len(before) + 1) + handed_on
