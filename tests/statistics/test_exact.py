"""The exact tests against SciPy, and against counts that one can make by hand."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.exact import COUNTED, fisher_p, rank_sum_p
from ablate.statistics.reach import least_p_rank_sum, seeds_for_ranks

LOST = -math.inf


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12])
def test_ranks_without_ties_are_scipys(n):
    random = np.random.default_rng(n)
    for _ in range(20):
        ours, theirs = random.normal(0.5, 1, n), random.normal(0, 1, n)
        expected = stats.mannwhitneyu(ours, theirs, method="exact").pvalue
        assert rank_sum_p(ours.tolist(), theirs.tolist()) == pytest.approx(expected, rel=1e-9)


def test_ranks_of_five_and_five_are_the_tables():
    # Mann and Whitney 1947, Annals of Mathematical Statistics 18, table I: of n = m = 5, P(U <= 2) = 0.016.
    assert rank_sum_p([1, 2, 3, 4, 7], [5, 6, 8, 9, 10]) == pytest.approx(2 * 4 / 252)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([0.9, LOST, LOST, LOST, 0.8], [0.7, 0.8, 0.7, 0.9, 0.8]),
        ([LOST, LOST, 0.9, 0.95], [LOST, 0.8, 0.8, 0.8]),
        ([1, 1, 2, 2, 3, 3], [1, 2, 2, 3, 4, 5]),
        ([LOST] * 3, [LOST] * 3),
        ([LOST, LOST, 0.7, 0.6], [0.8, 0.8]),
        ([0.9, 0.8], [LOST, 0.8, 0.8, 0.7, 0.6]),
    ],
)
def test_ties_and_lost_runs_are_counted_over_all_arrangements(ours, theirs):
    ranks = stats.rankdata([*ours, *theirs])
    n = len(ours)
    # All arrangements, and those at least as far from the middle as this one.
    sums = [sum(ranks[list(chosen)]) for chosen in combinations(range(len(ranks)), n)]
    far = [abs(one - np.mean(sums)) >= abs(sum(ranks[:n]) - np.mean(sums)) - 1e-9 for one in sums]
    assert rank_sum_p(ours, theirs) == pytest.approx(np.mean(far), rel=1e-9)


def test_ranks_of_many_seeds_are_the_normal_approximation():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(0.4, 1, COUNTED + 1), random.normal(0, 1, COUNTED + 1)
    exact = stats.mannwhitneyu(ours, theirs, method="exact").pvalue
    assert rank_sum_p(ours.tolist(), theirs.tolist()) == pytest.approx(exact, rel=0.05)


def test_the_least_p_is_reached():
    for n in range(1, 9):
        found = rank_sum_p([float(i) for i in range(n)], [float(-1 - i) for i in range(n)])
        assert found == pytest.approx(least_p_rank_sum(n, n)) == pytest.approx(min(1, 2 / math.comb(2 * n, n)))


@pytest.mark.parametrize("tests", [1, 2, 7, 13])
def test_so_many_seeds_can_be_certain_and_one_fewer_cannot(tests):
    least = [rank_sum_p(range(n, 2 * n), range(n)) for n in range(1, 12)]  # every seed of one side above the other's
    assert seeds_for_ranks(tests) == next(n for n, p in enumerate(least, 1) if tests * p < 0.05)


def test_shares_are_compared_by_fishers_test():
    # Fisher 1935, "The Design of Experiments", chapter 2: of 70 ways to choose four cups of eight, one is all right.
    assert fisher_p((4, 0), (4, 4)) == pytest.approx(2 / 70)
    assert fisher_p((5, 0), (8, 6)) == pytest.approx(stats.fisher_exact([[5, 3], [0, 6]]).pvalue)


def test_runs_that_share_a_seed_make_ranks_careful():
    random = np.random.default_rng(1)
    shared = random.normal(size=(2000, 1, 5))
    sweeps = shared + random.normal(size=(2000, 2, 5))
    false = np.mean([rank_sum_p(a.tolist(), b.tolist()) < 0.05 for a, b in sweeps])
    assert false <= 0.05
