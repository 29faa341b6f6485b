"""Verdicts of whole comparisons: one family of tests, and simulated sweeps whose truth is known. 20 s."""

import math

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.comparison.comparison import compare
from ablate.comparison.simulation import fixed as simulation
from ablate.comparison.values import entry
from ablate.statistics.judgement import Outcome

WITH = (0.8632, 0.8575, 0.8602, 0.8599, 0.8599, 0.8527, 0.8507, 0.8477)
WITHOUT = (0.1, 0.1, 0.1, 0.1, 0.8056, 0.7784, 0.7801, 0.1)
LOST = None


def compared(**variants):
    """One choice, each value's results by seed; None is a run that diverged."""
    values = list(variants)
    entries = [
        entry({"norm": name}, seed, "test/acc", value, "finished" if value is not LOST else "diverged")
        for name, results in variants.items()
        for seed, value in enumerate(results)
    ]
    found = compare(entries, {"norm": values}, source="", metric="test/acc", why_baseline="")
    return found, {variant.assignment["norm"]: variant for variant in found.variants}


def crossed(table):
    entries = [
        entry({"norm": norm, "shortcut": shortcut}, seed, "test/acc", value)
        for (norm, shortcut), results in table.items()
        for seed, value in enumerate(results)
    ]
    factors = {"norm": ["batch", "none"], "shortcut": ["zero_pad", "none"]}
    return compare(entries, factors, source="", metric="test/acc", why_baseline="")


def test_variants_main_effects_and_interactions_are_corrected_together():
    table = {
        ("batch", "zero_pad"): (0.90, 0.91, 0.92, 0.90, 0.93),
        ("none", "zero_pad"): (0.88, 0.90, 0.89, 0.90, 0.91),
        ("batch", "none"): (0.80, 0.83, 0.82, 0.81, 0.82),
        ("none", "none"): (0.70, 0.73, 0.76, 0.71, 0.70),
    }
    found = crossed(table)
    tests = [*found.variants[1:], *found.effects]
    assert found.family == len(tests) == 3 + 2 + 1
    corrected = multipletests([one.test.p for one in tests], method="holm")[1]
    assert [one.p_holm for one in tests] == pytest.approx(list(corrected))
    a, b = table["none", "zero_pad"], table["batch", "zero_pad"]
    assert found.variants[1].test.p in [pytest.approx(stats.ttest_rel(table[key], b).pvalue) for key in table]
    assert found.level == pytest.approx(0.05 / 6) and len(a) == 5


def test_a_variant_with_one_seed_costs_the_others_nothing():
    found, by_name = compared(batch=WITH, group=[v + 0.01 + i / 1000 for i, v in enumerate(WITH)], layer=WITH[:1])
    assert found.family == 1
    assert by_name["group"].p_holm == by_name["group"].test.p
    assert (by_name["layer"].p_holm, by_name["layer"].verdict) == (None, "too few seeds")


def test_five_of_eight_that_never_learn_are_compared_by_ranks():
    _, by_name = compared(batch=WITH, none=WITHOUT, group=WITH[::-1])
    none = by_name["none"]
    assert (none.test.outcome, none.test.low, none.is_split, none.verdict) == (Outcome.SPLIT, (5, 0), True, "worse")
    assert none.test.p == pytest.approx(2 / math.comb(16, 8))
    assert by_name["group"].test.outcome == Outcome.NORMAL


def test_two_designs_that_never_learn_are_of_one_kind():
    noise = [0.1 + i / 5000 for i in (1, 4, 2, 7, 3, 8, 0, 5)]
    _, by_name = compared(batch=[0.1] * 8, none=WITHOUT, group=noise)
    assert by_name["group"].test.outcome == Outcome.NORMAL
    assert by_name["none"].test.outcome == Outcome.SPLIT


def test_an_average_over_runs_of_which_some_never_learn_is_compared_by_ranks():
    table = {
        ("batch", "zero_pad"): WITH,
        ("none", "zero_pad"): WITHOUT,
        ("batch", "none"): (0.1, 0.1, 0.1, 0.8, 0.79, 0.81, 0.8, 0.8),
        ("none", "none"): WITHOUT[::-1],
    }
    found = crossed(table)
    assert {effect.test.outcome for effect in found.effects} == {Outcome.SPLIT}


def test_diverged_seeds_count_and_a_failed_one_does_not():
    _, by_name = compared(batch=WITH[:6], none=[0.95, 0.96, LOST, LOST, LOST, LOST])
    none = by_name["none"]
    assert none.difference.n == 2 and none.difference.mean > 0.09
    assert (none.test.outcome, none.test.n, none.verdict) == (Outcome.LOST, (6, 6), "undecided")
    entries = [entry({"norm": "batch"}, s, "test/acc", v) for s, v in enumerate(WITH)]
    entries += [entry({"norm": "none"}, s, "test/acc", v - 0.1) for s, v in enumerate(WITH[:6])]
    entries += [entry({"norm": "none"}, s, "test/acc", None, "failed") for s in (6, 7)]
    found = compare(entries, {"norm": ["batch", "none"]}, source="", metric="test/acc", why_baseline="")
    assert (found.variants[1].test.lost, found.variants[1].test.n) == ((0, 0), (6, 6))


SWEEPS = 150


@pytest.mark.parametrize("noise", simulation.EQUAL)
def test_equal_designs_are_found_different_in_at_most_5_percent(noise, monkeypatch):
    monkeypatch.setattr(simulation, "SEEDS", (3,))
    for row in simulation.simulate(SWEEPS, [noise]):
        assert row.found * SWEEPS <= stats.binom.ppf(0.999, SWEEPS, 0.05), row


def test_equal_designs_whose_worst_half_diverges_are_not_better(monkeypatch):
    monkeypatch.setattr(simulation, "SEEDS", (8,))
    for row in simulation.simulate(SWEEPS, ["its worst half diverges"]):
        assert row.better * SWEEPS <= stats.binom.ppf(0.999, SWEEPS, 0.005), row


def test_normal_noise_is_judged_as_well_as_before(monkeypatch):
    monkeypatch.setattr(simulation, "SEEDS", (5,))
    for row in simulation.simulate(SWEEPS, ["better by what t finds in 80%"]):
        assert row.better * SWEEPS >= stats.binom.ppf(0.001, SWEEPS, 0.78), row
        assert row.covered * SWEEPS >= stats.binom.ppf(0.001, SWEEPS, 0.95), row
