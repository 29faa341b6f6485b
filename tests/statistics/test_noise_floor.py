"""A design against itself: what luck makes of it."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.noise_floor import noise_floor


def test_differences_of_two_groups_of_one_design_are_as_wide_as_theory_has_it():
    values = list(0.8 + 0.01 * np.random.default_rng(1).normal(size=400))
    deviation = float(np.std(values, ddof=1))
    floors = {floor.seeds: floor for floor in noise_floor(values)}
    assert list(floors) == [1, 2, 3, 4, 5, 8, 12, 16]
    for n, floor in floors.items():
        assert floor.within == pytest.approx(1.96 * deviation * math.sqrt(2 / n), rel=0.1)
        assert floor.higher == pytest.approx(0.5, abs=0.06)
    assert floors[1].called is None
    # A t-test at 5% calls 5%, with a standard error of half a percent.
    assert floors[8].called == pytest.approx(0.05, abs=0.025)


def test_it_is_counted_over_all_ways_to_share_seeds_out():
    # Of 0, 1, 2, 10 two and two: means differ by 3.5, 4.5 or 5.5, each in two of six
    # equally likely ways.
    (one, two) = noise_floor([0.0, 1.0, 2.0, 10.0])
    assert two.within == pytest.approx(5.5) and one.within == pytest.approx(10.0)


def test_lost_seeds_and_too_few():
    assert noise_floor([0.5]) == []
    floors = noise_floor([0.8, 0.81, -math.inf, -math.inf, -math.inf, -math.inf, 0.79, 0.8])
    assert all(floor.within is None for floor in floors)
    assert [floor.called for floor in floors[1:]] == [0.0, 0.0, pytest.approx(0.03, abs=0.03)]
    assert stats.mannwhitneyu([1, 1, 1], [0, 0, 0], method="exact").pvalue > 0.05  # three against three call nothing
