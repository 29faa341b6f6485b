"""The statistics against worked examples that others published, and against simulated sweeps whose truth is known.

12 s on one core.
"""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.effects import Design, crossed, effects
from ablate.statistics.paired import (
    Difference,
    Estimate,
    Outperforming,
    detectable_effect,
    holm,
    outperforming,
    power,
    seeds_for_sign_flip,
    variance_shares,
)

# Student 1908, "The probable error of a mean", section IX: additional hours of sleep by two drugs, ten patients. R's
# help page of `sleep` prints t = -4.0621, p = 0.002833 and the interval for the paired test.
DRUG_1 = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
DRUG_2 = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)

# Fisher 1935, "The Design of Experiments", sections 16 to 21: Darwin's maize, crossed less self-fertilised plants, in
# eighths of an inch. He counts 1,726 of the 32,768 sign flips at least as far from zero, and finds t = 2.148.
MAIZE = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)

# Venables and Ripley 2002, "Modern Applied Statistics with S", section 6.7, and R's help page of `npk`: yield of peas
# in six blocks with nitrogen, phosphate and potash; the last column in pounds a plot.
NPK = """1 011 49.5, 1 110 62.8, 1 000 46.8, 1 101 57.0, 2 100 59.8, 2 111 58.5, 2 001 55.5, 2 010 56.0,
3 010 62.8, 3 111 55.8, 3 100 69.5, 3 001 55.0, 4 100 62.0, 4 111 48.8, 4 001 45.5, 4 010 44.2,
5 110 52.0, 5 000 51.5, 5 101 49.8, 5 011 48.8, 6 101 57.2, 6 110 59.0, 6 011 53.2, 6 000 56.0"""
# R's summary(aov(yield ~ block + N*P*K, npk)): sum of squares, F and p.
NPK_TABLE = {
    "seed": (343.3, 4.447, 0.01594),
    "N": (189.3, 12.259, 0.00437),
    "P": (8.4, 0.544, 0.47490),
    "K": (95.2, 6.166, 0.02880),
    "N × P": (21.3, 1.378, 0.26317),
    "N × K": (33.1, 2.146, 0.16865),
    "P × K": (0.5, 0.031, 0.86275),
}


def difference(a, b) -> Difference:
    return Difference(tuple(float(x) - float(y) for x, y in zip(a, b, strict=True)))


def test_paired_t_is_students():
    drugs = difference(DRUG_1, DRUG_2)
    assert drugs.mean == pytest.approx(-1.58)
    assert drugs.p == pytest.approx(0.002833, abs=5e-7)
    assert drugs.interval == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_p_and_interval_are_scipys(n):
    values = np.random.default_rng(n).normal(0.3, 2, n)
    found, reference = Difference(tuple(values.tolist())), stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval()), rel=1e-9)


def test_paired_t_and_sign_flips_are_fishers():
    maize = Difference(MAIZE)
    assert maize.mean / maize.deviation * math.sqrt(15) == pytest.approx(2.148, abs=5e-4)
    assert maize.p == pytest.approx(0.0497, abs=5e-5)
    assert maize.p_sign_flip == pytest.approx(1726 / 32768, abs=1e-12)


def test_sign_flips_cannot_say_more_than_their_number_allows():
    for n in range(1, 9):
        found = Difference(tuple(1 + i / 100 for i in range(n)))
        assert found.p_sign_flip == found.least_p_sign_flip == min(1, 2 / 2**n)
    assert seeds_for_sign_flip() == 6


def test_the_floor_of_drawn_sign_flips_is_that_of_the_draws():
    sixteen, forty = (Difference(tuple(1 + i / 100 for i in range(n))) for n in (16, 40))
    assert sixteen.p_sign_flip == sixteen.least_p_sign_flip == 2 / 2**16
    assert forty.p_sign_flip == forty.least_p_sign_flip == 2 / (2**16 + 1)


def test_holm_is_the_published_correction():
    # The example of Wikipedia's "Holm-Bonferroni method".
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_that_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(0, 0.2, 40)
    assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1].tolist())


def test_what_could_not_be_tested_costs_the_others_nothing():
    assert holm([0.01, None, 0.04, None]) == [pytest.approx(0.02), None, pytest.approx(0.04), None]
    assert holm([]) == []


def test_power_is_that_of_statsmodels():
    from statsmodels.stats.power import ttest_power

    for effect, n, level in ((0.5, 20, 0.05), (1.0, 10, 0.01), (1.5, 5, 0.05)):
        assert power(effect, n, level) == pytest.approx(ttest_power(effect, n, level), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
@pytest.mark.parametrize("level", [0.05, 0.05 / 20])
def test_the_detectable_effect_has_80_percent_power(n, level):
    effect = detectable_effect(n, level)
    assert power(effect, n, level) == pytest.approx(0.8, abs=1e-3)
    found = Difference(tuple(np.linspace(0, 1, n)))
    assert found.detectable(level) == pytest.approx(effect * found.deviation)


def test_outperforming_interval_is_wilsons():
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3.
    for wins, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert Outperforming(wins, n).interval == pytest.approx((low, high), abs=5e-5)


def test_a_diverged_run_loses_and_ties_with_its_like():
    lost = -math.inf
    assert outperforming([0.9, lost, lost, 0.5], [0.8, 0.1, lost, 0.5]).wins == 1 + 0 + 0.5 + 0.5
    assert outperforming([], []) is None


def test_variance_shares_are_those_of_the_published_table():
    plots = [line.split() for line in NPK.split(",")]
    factors = {name: [plot[1][i] for plot in plots] for i, name in enumerate("NPK")}
    rows = variance_shares([float(plot[2]) for plot in plots], [int(plot[0]) for plot in plots], factors)
    assert [row["source"] for row in rows] == [*NPK_TABLE, "residual"]
    for row in rows[:-1]:
        squares, f, p = NPK_TABLE[row["source"]]
        assert row["sum_sq"] == pytest.approx(squares, abs=0.05)
        assert row["F"] == pytest.approx(f, abs=5e-4)
        assert row["p"] == pytest.approx(p, abs=5e-6)
    assert (rows[-1]["df"], rows[-1]["F"]) == (12, None)
    assert rows[-1]["sum_sq"] == pytest.approx(185.3, abs=0.05)
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_variance_that_choices_explain_wholly_is_no_division_by_zero(recwarn):
    values = [0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.7, 0.7]
    factors = {"a": [0, 0, 0, 0, 1, 1, 1, 1], "b": [0, 0, 1, 1, 0, 0, 1, 1]}
    rows = {row["source"]: row for row in variance_shares(values, [0, 1] * 4, factors)}
    assert [rows[name]["share"] for name in ("a", "b", "residual")] == pytest.approx([0.8, 0.2, 0], abs=1e-12)
    exact = variance_shares([float(value) for value in factors["a"]], [0, 1] * 4, factors)
    assert exact[-1]["share"] == pytest.approx(0, abs=1e-12)
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_one_seed_has_no_interval_and_no_test():
    one = Difference((0.3,))
    assert (one.n, one.mean, one.interval, one.p, one.detectable()) == (1, 0.3, None, None, None)
    assert Estimate(()).mean is None


def test_seeds_that_all_agree_are_no_proof():
    assert Difference((0.0125, 0.0125)).p is None
    assert Difference((0.1 + 0.2, 0.3)).interval is None  # rounding is no spread
    # 14 of 360 images fewer in both seeds, from accuracies in float32.
    right = np.float32([300, 293, 314, 307]) / np.float32(360)
    of_accuracies = Difference((float(right[0]) - float(right[2]), float(right[1]) - float(right[3])))
    assert len(set(of_accuracies.values)) == 2 and of_accuracies.p is None and of_accuracies.p_sign_flip == 0.5
    assert Difference((0.0, 0.0, 0.0)).p == 1


# Two choices of two values: 10 more by the first, 1 more by the second, and 4 less where both are made.
CELLS = {(0, 0): 50, (1, 0): 60, (0, 1): 51, (1, 1): 57}


def crossed_cells(noise=(0.0, 0.7, -0.4)):
    return {levels: {seed: mean + n for seed, n in enumerate(noise)} for levels, mean in CELLS.items()}


def test_effects_are_what_the_cells_were_made_of():
    first, second, both = effects(Design({"a": [0, 1], "b": ["x", "y"]}, crossed_cells()))
    assert (first.factors, first.values, first.baseline) == (("a",), (1,), (0,))
    assert first.difference.mean == pytest.approx(10 - 4 / 2)
    assert second.difference.mean == pytest.approx(1 - 4 / 2)
    assert both.factors == ("a", "b") and both.difference.mean == pytest.approx(-4)
    assert (first.contexts, first.possible, first.seeds) == (2, 2, (0, 1, 2))


def test_a_pair_of_paired_effects_is_the_repeated_measures_anova():
    # With two values each, the squared t of a contrast within seeds is the F of statsmodels' AnovaRM.
    import pandas as pd
    from statsmodels.stats.anova import AnovaRM

    noise = np.random.default_rng(0).normal(size=(2, 2, 6))
    cells = {(a, b): {s: 3 * a + noise[a, b, s] for s in range(6)} for a in (0, 1) for b in (0, 1)}
    rows = [(a, b, s, y) for (a, b), ys in cells.items() for s, y in ys.items()]
    table = AnovaRM(pd.DataFrame(rows, columns=["a", "b", "s", "y"]), "y", "s", within=["a", "b"]).fit().anova_table
    found = effects(Design({"a": [0, 1], "b": [0, 1]}, cells))
    assert [effect.difference.p for effect in found] == pytest.approx(table["Pr > F"].tolist())


def test_what_has_no_result_is_left_out_and_said():
    cells = crossed_cells() | {(1, 1): {}}
    assert effects(Design({"a": [0, 1], "b": [0, 1]}, cells)) == []  # nothing is crossed
    three = {(*levels, c): results for levels, results in crossed_cells().items() for c in (0, 1)}
    three[(1, 1, 1)] = {}
    found = {effect.factors: effect for effect in effects(Design({"a": [0, 1], "b": [0, 1], "c": [0, 1]}, three))}
    assert (found["a",].contexts, found["a",].possible) == (3, 4)
    (left,) = found["a",].left_out
    assert (left.where, left.diverged, left.ended) == ({"b": 1, "c": 1}, (0, 0), (0, 3))
    assert found["a",].difference.mean == pytest.approx((10 + 10 + 6) / 3)
    assert (found["a", "b"].contexts, found["a", "b"].possible) == (1, 2)


def test_choices_changed_one_at_a_time_are_not_crossed():
    cells = {levels: results for levels, results in crossed_cells().items() if levels != (1, 1)}
    assert effects(Design({"a": [0, 1], "b": [0, 1]}, cells)) == []
    assert crossed(cells, {"a": [0, 1], "b": [0, 1]}) == []
    assert crossed(crossed_cells(), {"a": [0, 1], "b": [0, 1]}) == [0, 1, 2]


SWEEPS = 1000


def simulated(variants, seeds, effect=0.0, shared=1.0, own=1.0):
    """(sweeps, variants, seeds) results; the first variant is the baseline, `effect` is the last one's."""
    random = np.random.default_rng(20210301)
    values = shared * random.normal(size=(SWEEPS, 1, seeds)) + own * random.normal(size=(SWEEPS, variants, seeds))
    values[:, -1] += effect
    return values


def found(sweep) -> list[bool]:
    """Which variants of one sweep differ from its baseline, after correction."""
    return [p < 0.05 for p in holm([difference(values, sweep[0]).p for values in sweep[1:]])]


def test_sweeps_without_an_effect_find_one_in_at_most_5_percent():
    false = sum(any(found(sweep)) for sweep in simulated(variants=6, seeds=5))
    # The 99.9% point of a binomial; and not so few that nothing could ever be found.
    assert false <= stats.binom.ppf(0.999, SWEEPS, 0.05)
    assert false >= stats.binom.ppf(0.001, SWEEPS, 0.05 / 5)


def test_intervals_cover_the_truth_95_times_in_100():
    covered = 0
    for sweep in simulated(variants=2, seeds=5, effect=1.5):
        low, high = difference(sweep[1], sweep[0]).interval
        covered += low <= 1.5 <= high
    assert stats.binom.ppf(0.001, SWEEPS, 0.95) <= covered <= stats.binom.ppf(0.999, SWEEPS, 0.95)


def test_an_effect_of_the_detectable_size_is_found_80_times_in_100():
    seeds, tests = 5, 5
    effect = detectable_effect(seeds, 0.05 / tests) * math.sqrt(2)  # differences have twice the variance
    sweeps = simulated(variants=tests + 1, seeds=seeds, effect=effect)
    assert sum(found(sweep)[-1] for sweep in sweeps) >= stats.binom.ppf(0.001, SWEEPS, 0.8)


def test_pairing_needs_fewer_seeds_where_noise_is_shared():
    seeds = 5
    effect = detectable_effect(seeds, 0.05) * math.sqrt(2)
    sweeps = simulated(variants=2, seeds=seeds, effect=effect, shared=3.0)
    paired = sum(found(sweep)[0] for sweep in sweeps)
    unpaired = np.sum(stats.ttest_ind(sweeps[:, 1], sweeps[:, 0], axis=1).pvalue < 0.05)
    assert paired >= stats.binom.ppf(0.001, SWEEPS, 0.8)
    assert unpaired < 0.5 * SWEEPS
    # The unpaired test finds it as often only with more than three times the seeds.
    many = simulated(variants=2, seeds=3 * seeds, effect=effect, shared=3.0)
    assert np.sum(stats.ttest_ind(many[:, 1], many[:, 0], axis=1).pvalue < 0.05) < 0.8 * SWEEPS


def test_the_share_of_wins_is_the_probability_of_winning():
    effect, seeds = 1.0, 5
    shares = [
        outperforming(list(sweep[1]), list(sweep[0])).share
        for sweep in simulated(variants=2, seeds=seeds, effect=effect, shared=3.0)
    ]
    truth = stats.norm.cdf(effect / math.sqrt(2))
    deviation = math.sqrt(truth * (1 - truth) / (SWEEPS * seeds))
    assert np.mean(shares) == pytest.approx(truth, abs=3.3 * deviation)
