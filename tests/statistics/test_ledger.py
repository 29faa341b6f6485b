"""A hundred candidates against one baseline: how often luck is believed."""

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.ledger import next_level, share


def test_the_levels_of_all_candidates_add_up_to_five_percent():
    levels: list[tuple[float, bool]] = []
    for _ in range(300):
        levels.append((next_level(levels), False))
    assert levels[0][0] == pytest.approx(0.05 / 2.28577, rel=1e-4)  # zeta(1.6), tabulated
    assert 0.045 < sum(level for level, _ in levels) < 0.05
    assert sum(map(share, range(1, 200_000))) == pytest.approx(1, abs=1e-3)


def test_a_candidate_that_was_called_hands_its_level_on():
    assert next_level([(0.02, True)]) == pytest.approx(0.02 + 0.05 * share(2))
    assert next_level([(0.02, True), (0.03, False)]) == pytest.approx(0.05 * share(3))


def test_of_300_candidates_that_do_nothing_luck_keeps_one_in_at_most_five_of_a_hundred_searches():
    random, searches, candidates, seeds = np.random.default_rng(4), 2000, 300, 8
    levels = np.array([0.05 * share(number) for number in range(1, candidates + 1)])
    kept = {"ledger": 0, "higher mean": 0, "two sigma": 0}
    for _ in range(searches):
        # Differences to the same baseline are correlated: they share its seeds.
        baseline = random.normal(size=seeds)
        differences = random.normal(size=(candidates, seeds)) - baseline
        test = stats.ttest_1samp(differences, 0, axis=1)
        kept["ledger"] += bool((test.pvalue <= levels).any())  # until the first is called, these are the levels
        kept["higher mean"] += bool((differences.mean(axis=1) > 0).any())
        kept["two sigma"] += bool((test.statistic > 2).any())
    assert kept["ledger"] / searches < 0.05 + 3 * np.sqrt(0.05 * 0.95 / searches)
    assert kept["higher mean"] / searches > 0.95 and kept["two sigma"] / searches > 0.5
