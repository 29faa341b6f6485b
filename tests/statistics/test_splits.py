"""Seeds that fall into two groups are found, and normal noise is left alone."""

import numpy as np
import pytest

from ablate.statistics.splits import is_at_chance, low_seeds

# A residual net without norm at learning rate 0.05, and the same with norm: results/norm, test accuracy by seed.
WITHOUT = dict(enumerate((0.1, 0.1, 0.1, 0.1, 0.8056, 0.7784, 0.7801, 0.1)))
WITH = dict(enumerate((0.8632, 0.8575, 0.8602, 0.8599, 0.8599, 0.8527, 0.8507, 0.8477)))


def by_seed(*values):
    return dict(enumerate(values))


@pytest.mark.parametrize("chance", [None, 0.1])
def test_five_of_eight_that_never_learn(chance):
    assert low_seeds([WITH, WITHOUT], chance) == [set(), {0, 1, 2, 3, 7}]


def test_a_variant_that_always_ends_there_belongs_to_the_low():
    never, between = by_seed(*[0.1] * 8), by_seed(*(0.5 + i / 500 for i in range(8)))
    assert low_seeds([WITH, WITHOUT, never, between], 0.1) == [set(), {0, 1, 2, 3, 7}, set(range(8)), set()]
    twice = [WITH, WITHOUT, dict(enumerate(reversed(WITHOUT.values()))), never, between]
    assert low_seeds(twice) == [set(), {0, 1, 2, 3, 7}, {0, 4, 5, 6, 7}, set(range(8)), set()]
    assert low_seeds([WITH, never], 0.1) == [set(), set()]  # no variant falls into two


def test_one_outlier_says_nothing_of_the_others():
    outlier = by_seed(0.851, 0.852, 0.85, 0.853, 0.851, 0.852, 0.85, 0.97)
    assert low_seeds([WITH, outlier, WITH]) == [set(), set(range(7)), set()]


def test_chance_tells_apart_what_gaps_do_not():
    scattered = by_seed(0.3257, 0.1, 0.7009, 0.1, 0.6959, 0.1067, 0.1009, 0.1885)
    assert low_seeds([WITH, scattered]) == [set(), set()]
    assert low_seeds([WITH, scattered], 0.1) == [set(), {1, 3, 5, 6}]
    assert low_seeds([by_seed(0.8, 0.81), by_seed(0.1, 0.8)], 0.1) == [set(), {0}]


def test_what_is_at_chance():
    assert [is_at_chance(value, 0.1) for value in (0.05, 0.1, 0.14, 0.15)] == [True, True, True, False]
    assert [is_at_chance(value, 0.5) for value in (0.5, 0.52, 0.53)] == [True, True, False]
    assert [is_at_chance(value, 0.001) for value in (0.0015, 0.002)] == [True, False]


def test_seeds_that_agree_to_a_thousandth_do_not_split():
    assert low_seeds([by_seed(*[0.9] * 7, 0.9028), by_seed(*[0.9] * 8)]) == [set(), set()]
    assert low_seeds([by_seed(*[0.1] * 5, *[0.8] * 3), by_seed(*[0.8] * 8)]) == [set(range(5)), set()]


@pytest.mark.parametrize(("n", "most"), [(3, 0.07), (4, 0.02), (8, 0.003)])
@pytest.mark.parametrize("variants", [2, 8])
def test_normal_noise_seldom_splits(n, most, variants):
    noise = np.random.default_rng(n).normal(0.8, 0.01, (1000, variants, n))
    found = np.mean([any(low_seeds([by_seed(*values) for values in sweep])) for sweep in noise])
    assert found <= most


@pytest.mark.parametrize("n", [3, 5, 8])
def test_half_at_chance_splits(n):
    random = np.random.default_rng(n)
    values = np.where(random.random((300, 8, n)) < 0.5, 0.1, 0.8) + 0.01 * random.normal(size=(300, 8, n))
    for sweep in values:
        low = low_seeds([by_seed(*variant) for variant in sweep])
        assert low == [set(np.flatnonzero(variant < 0.4)) for variant in sweep]
