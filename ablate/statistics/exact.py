"""Exact tests that assume no distribution: for seeds that diverged, or that fall into two groups."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

COUNTED = 50  # with at most this many seeds on each side the distribution is exact; beyond, a normal approximation


def rank_sum_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's rank sum test (Mann and Whitney's U), by its exact distribution.

    Larger is better. -inf is a diverged run, below every number. Equal values share their mean rank, and the
    distribution takes these ties into account (Lehmann 1975, "Nonparametrics", section 1.4). The null hypothesis is
    that both groups have the same distribution, of any shape. Runs with the same seed may be positively correlated,
    which makes the test conservative.
    """
    n, m = len(ours), len(theirs)
    ranks = stats.rankdata([*ours, *theirs])
    # Mean ranks are multiples of 1/2.
    doubled = [int(rank) for rank in 2 * ranks]
    centre = n * (n + m + 1)
    distance = abs(sum(doubled[:n]) - centre)
    if not distance:
        return 1.0
    if max(n, m) > COUNTED:
        return float(stats.mannwhitneyu(ranks[:n], ranks[n:], method="asymptotic").pvalue)
    shares = _distribution(tuple(sorted(doubled)), n)
    return min(1.0, float(shares[: centre - distance + 1].sum() + shares[centre + distance :].sum()))


def fisher_p(lost: tuple[int, int], of: tuple[int, int]) -> float:
    """Two-sided p of Fisher's exact test that both sides lose the same share of their seeds.

    lost  of each side, how many seeds were lost
    of    of each side, how many seeds there are
    """
    return float(stats.fisher_exact([[part, whole - part] for part, whole in zip(lost, of, strict=True)]).pvalue)


@lru_cache(maxsize=256)
def _distribution(doubled: tuple[int, ...], n: int) -> NDArray[np.float64]:
    """The distribution of the sum of n of the doubled ranks: the probability of each value from 0 up."""
    most = sum(sorted(doubled)[-n:])
    ways = np.zeros((n + 1, most + 1))
    ways[0, 0] = 1
    for i, rank in enumerate(doubled):
        for size in range(min(i + 1, n), 0, -1):
            ways[size, rank:] += ways[size - 1, : most + 1 - rank]
    return np.asarray(ways[n] / math.comb(len(doubled), n))
