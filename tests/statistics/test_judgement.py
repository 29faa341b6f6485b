"""Which test carries a verdict, and that the verdict is one that the data carry."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.judgement import Outcome, assessed
from ablate.statistics.paired import Difference

LOST = -math.inf
BASELINE = [0.80, 0.81, 0.79, 0.80, 0.82, 0.81]


def judged(ours, theirs, sign=1, low=(0, 0)):
    pairs = [sign * (a - b) for a, b in zip(ours, theirs, strict=False) if LOST not in (a, b)]
    return assessed(Difference(tuple(pairs)) if pairs else None, ours, theirs, sign=sign, low=low)


def test_seeds_that_all_ended_are_compared_by_t():
    ours = [0.83, 0.84, 0.81, 0.80, 0.85, 0.83]
    test = judged(ours, BASELINE)
    assert (test.outcome, test.direction, test.n) == (Outcome.NORMAL, 1, (6, 6))
    assert test.p == pytest.approx(stats.ttest_rel(ours, BASELINE).pvalue)
    assert [test.verdict(0.01), test.verdict(0.06), test.verdict(None)] == ["better", "undecided", "too few seeds"]


def test_a_difference_that_is_not_found_is_equivalent_only_where_that_is_tested():
    test = judged([0.83, 0.84, 0.81, 0.80, 0.85, 0.83], BASELINE)
    assert test.verdict(0.06, 0.04) == "equivalent" and test.verdict(0.06, 0.05) == "undecided"
    assert test.verdict(0.01, 0.01) == "better"
    # Ranks of three seeds cannot reach 5%, whatever they are.
    assert judged([0.1, 0.1, 0.8], BASELINE[:3], low=(2, 0)).verdict(0.1, 0.01) == "too few seeds"


def test_where_less_is_better_the_sign_turns():
    # Outcomes are larger for better; the difference is in the metric's own units, as for a loss.
    test = judged([-0.5, -0.41, -0.52], [-0.9, -0.93, -0.85], sign=-1)
    assert test.direction == 1 and test.verdict(0.01) == "better"


def test_four_of_six_that_diverge_are_not_better_on_two_survivors():
    test = judged([0.95, 0.96, LOST, LOST, LOST, LOST], BASELINE)
    assert (test.outcome, test.lost, test.has_interval) == (Outcome.LOST, (4, 0), False)
    ranks = stats.rankdata([0.95, 0.96, *[0] * 4, *BASELINE])
    exact = stats.permutation_test((ranks[:6], ranks[6:]), lambda a, b: a.mean() - b.mean(), n_resamples=10**4)
    assert test.p == pytest.approx(exact.pvalue)
    assert test.verdict(test.p) == "undecided"
    assert test.p_fallen == pytest.approx(stats.fisher_exact([[4, 2], [0, 6]]).pvalue)


def test_who_loses_more_seeds_is_never_better():
    theirs = [0.80 + i / 1000 for i in range(20)]
    test = judged([LOST, *[0.9 + i / 1000 for i in range(19)]], theirs)
    assert test.p < 1e-6 and test.direction == 1
    assert test.verdict(test.p) == "undecided"
    turned = judged(theirs, [LOST, *[0.9 + i / 1000 for i in range(19)]])
    assert turned.verdict(turned.p) == "undecided"


def test_what_always_diverges_is_said_and_tested():
    test = judged([LOST] * 6, BASELINE)
    assert test.verdict(test.p) == "diverged" and test.direction == -1
    assert test.p == pytest.approx(2 / math.comb(12, 6))
    both = judged([LOST] * 6, [LOST] * 6)
    assert (both.p, both.verdict(both.p)) == (1, "undecided")


def test_seeds_that_split_are_compared_by_ranks():
    ours = [0.1, 0.1, 0.1, 0.1, 0.8056, 0.7784, 0.7801, 0.1]
    theirs = [0.8632, 0.8575, 0.8602, 0.8599, 0.8599, 0.8527, 0.8507, 0.8477]
    test = judged(ours, theirs, low=(5, 0))
    assert (test.outcome, test.verdict(test.p)) == (Outcome.SPLIT, "worse")
    assert test.p == pytest.approx(2 / math.comb(16, 8))
    assert judged(ours[:3], theirs[:3], low=(3, 0)).p == pytest.approx(0.1)  # three seeds cannot say it


def test_eight_seeds_that_all_gain_the_same_are_better_by_the_sign_flips():
    theirs = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0, 8.0])
    test = judged((theirs + 1).tolist(), theirs.tolist())
    assert (test.outcome, test.p, test.verdict(test.p)) == (Outcome.ALIKE, 2 / 256, "better")
    five = judged((theirs[:5] + 1).tolist(), theirs[:5].tolist())
    assert (five.p, five.verdict(five.p)) == (2 / 32, "too few seeds")
    assert judged(theirs.tolist(), theirs.tolist()).p == 1


def test_one_seed_has_no_test():
    test = judged([0.9], [0.8])
    assert (test.outcome, test.p, test.verdict(None)) == (Outcome.FEW, None, "too few seeds")
    assert judged([LOST], [0.8]).p is None
    assert judged([], []).verdict(None) == "no pair yet"


def test_a_seed_that_diverged_without_a_partner_counts_too():
    test = judged([0.95, 0.96, LOST, LOST, LOST, LOST], [0.80, 0.81])
    assert (test.n, test.lost, test.verdict(test.p)) == ((6, 2), (4, 0), "too few seeds")
    assert judged([LOST] * 3, []).verdict(None) == "diverged"
