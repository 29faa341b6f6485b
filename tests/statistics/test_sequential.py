"""Bounds for several looks, against published tables, SciPy's multivariate normal, and paths drawn seed by seed."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.errors import InputError
from ablate.statistics import sequential
from ablate.statistics.sequential import Looks, chance_to_decide, rejected

MANY = tuple(range(2000, 10_001, 2000))  # so many that t is normal: five looks at equal steps


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # Two-sided 5%, five equal looks, as tables of the Lan-DeMets method have them (Reboussin, DeMets, Kim and Lan
        # 2000, Controlled Clinical Trials 21:190; R's gsDesign and ldbounds give the same).
        ("obrien_fleming", (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_bounds_of_many_seeds_are_the_published_ones(spending, published):
    bounds = Looks(MANY, spending).bounds(0.05)
    assert [float(stats.norm.isf(bound / 2)) for bound in bounds] == pytest.approx(published, abs=0.015)


@pytest.mark.parametrize("spending", sequential.SPENDING)
def test_unequal_looks_keep_the_level_by_scipys_integral(spending):
    seeds = (2000, 3000, 4000, 6000)
    limits = np.array([stats.norm.isf(bound / 2) for bound in Looks(seeds, spending).bounds(0.05)])
    shares = np.array(seeds) / seeds[-1]
    correlation = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    inside = stats.multivariate_normal(cov=correlation).cdf(limits, lower_limit=-limits)
    assert 1 - inside == pytest.approx(0.05, abs=0.0008)


@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
@pytest.mark.parametrize("spending", sequential.SPENDING)
def test_few_seeds_keep_the_level(spending, level):
    looks, paths = Looks((4, 6, 8, 12), spending), 300_000
    values = np.random.default_rng(5).normal(size=(paths, 12))
    crossed = np.zeros(paths, dtype=bool)
    for n, bound in zip(looks.seeds, looks.bounds(level), strict=True):
        crossed |= stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue <= bound
    assert crossed.mean() == pytest.approx(level, abs=4 * math.sqrt(level / paths))


def test_one_look_is_the_usual_test():
    assert Looks((8,)).bounds(0.05) == (0.05,)
    assert Looks((8,)).half_width(0, 2.0) == pytest.approx(stats.t.isf(0.025, 7) * 2 / math.sqrt(8))


def test_repeated_intervals_hold_the_truth_at_all_looks_at_once():
    looks, paths = Looks((4, 6, 8, 12)), 20_000
    values = np.random.default_rng(6).normal(loc=0.7, size=(paths, 12))
    held = np.ones(paths, dtype=bool)
    for look, n in enumerate(looks.seeds):
        part = values[:, :n]
        half = looks.half_width(look, 1.0) * part.std(axis=1, ddof=1)
        held &= np.abs(part.mean(axis=1) - 0.7) <= half
    assert held.mean() == pytest.approx(0.95, abs=0.006)


def test_what_is_called_leaves_its_level_to_the_others():
    def bounds(level):
        return level / 2

    # Of three: 0.05/3/2 = 0.0083, then 0.05/2/2 = 0.0125, then 0.05/2 = 0.025.
    assert rejected([0.008, 0.012, 0.02], [bounds] * 3, family=3) == [True, True, True]
    assert rejected([0.009, 0.012, 0.02], [bounds] * 3, family=3) == [False, False, False]
    assert rejected([0.008, None, 0.02], [bounds] * 3, family=3) == [True, False, False]
    assert rejected([0.02], [bounds], family=3, already=2) == [True]


def test_the_chance_to_decide_is_that_of_the_predictive_distribution():
    # One further look of a paired t-test whose seeds so far are known: by drawing the seeds one by one.
    looks, mean, deviation = Looks((4, 8)), 0.8, 1.0
    random = np.random.default_rng(7)
    sigma = deviation * np.sqrt(3 / random.chisquare(3, 40_000))
    mu = mean + sigma * random.normal(size=sigma.size) / 2
    known = np.array([-1.0, -1.0, 1.0, 1.0]) * math.sqrt(3) / 2 * deviation + mean
    new = mu[:, None] + sigma[:, None] * random.normal(size=(sigma.size, 4))
    p = stats.ttest_1samp(np.hstack([np.broadcast_to(known, (sigma.size, 4)), new]), 0, axis=1).pvalue
    share = chance_to_decide(looks, 0, mean, deviation, 0.05, None, draws=40_000)
    assert share == pytest.approx((p <= looks.bounds(0.05)[1]).mean(), abs=0.015)


@pytest.mark.parametrize("seeds", [(), (1, 4), (4, 4), (6, 4)])
def test_looks_that_are_none_are_refused(seeds):
    with pytest.raises(InputError, match="rising numbers of seeds"):
        Looks(seeds)
