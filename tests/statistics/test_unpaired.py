"""Runs that do not pair, against scipy's and statsmodels' tests."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols

from ablate.statistics import unpaired
from ablate.statistics.effects import Design
from ablate.statistics.equivalence import equivalence_p
from ablate.statistics.judgement import Outcome

OURS, THEIRS = (0.93, 0.95, 0.91, 0.96, 0.94), (0.90, 0.91, 0.905)


def test_two_groups_are_compared_by_welchs_t():
    reference = stats.ttest_ind(OURS, THEIRS, equal_var=False)
    difference = unpaired.apart(OURS, THEIRS)
    assert difference.p == pytest.approx(reference.pvalue)
    assert difference.df == pytest.approx(reference.df)
    assert difference.interval == pytest.approx(tuple(reference.confidence_interval()))
    assert difference.mean == pytest.approx(np.mean(OURS) - np.mean(THEIRS))
    assert difference.n == 3 and difference.p_sign_flip is None
    test = unpaired.judged(difference, OURS, THEIRS, sign=1, low=(0, 0))
    assert (test.name, test.direction, test.n) == ("Welch's t-test", 1, (5, 3))
    assert test.verdict(test.p) == ("better" if reference.pvalue < 0.05 else "undecided")


def test_two_one_sided_tests_are_welchs_too():
    difference, margin = unpaired.apart(OURS, THEIRS), 0.1
    above = stats.ttest_ind(np.add(OURS, margin), THEIRS, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(np.subtract(OURS, margin), THEIRS, equal_var=False, alternative="less").pvalue
    assert equivalence_p(difference, margin) == pytest.approx(max(above, below))


def test_what_is_detectable_is_found_with_80_percent():
    """Simulated: normal groups whose means are so far apart."""
    random = np.random.default_rng(0)
    spread = unpaired.apart((-1.0, 0.0, 1.0, 0.5, -0.5), (-2.0, 0.0, 2.0, 1.0, -1.0))
    shift = spread.detectable()
    a = random.normal(shift, np.std((-1.0, 0.0, 1.0, 0.5, -0.5), ddof=1), (20_000, 5))
    b = random.normal(0, np.std((-2.0, 0.0, 2.0, 1.0, -1.0), ddof=1), (20_000, 5))
    found = stats.ttest_ind(a, b, axis=1, equal_var=False, alternative="two-sided")
    assert np.mean((found.pvalue < 0.05) & (found.statistic > 0)) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "name"),
    [
        ((1.0,), (1.0, 2.0), Outcome.FEW, "no test"),
        ((2.0, 2.0, 2.0), (1.0, 1.0, 1.0), Outcome.ALIKE, "exact rank test"),
        ((2.0, -math.inf, 2.5), (1.0, 1.1, 1.2), Outcome.LOST, "exact rank test, diverged seeds last"),
    ],
)
def test_where_means_say_nothing_ranks_decide_or_nothing(ours, theirs, outcome, name):
    finite = [value for value in ours if math.isfinite(value)]
    test = unpaired.judged(unpaired.apart(finite, theirs), ours, theirs, sign=1, low=(0, 0))
    assert (test.outcome, test.name) == (outcome, name)
    if outcome is not Outcome.FEW:
        assert test.p == pytest.approx(stats.mannwhitneyu(ours, theirs, method="exact").pvalue, abs=0.2)
    if outcome is Outcome.ALIKE:
        assert test.p == 0.1 and test.verdict(test.p) == "too few seeds"


def test_main_effects_and_interactions_are_contrasts_of_the_means():
    """Estimate and error against least squares with errors that allow for unequal spread (HC2: each cell's own)."""
    random = np.random.default_rng(1)
    means = {(0, 0): 0.8, (0, 1): 0.82, (1, 0): 0.9, (1, 1): 0.95}
    cells = {
        cell: dict(enumerate(random.normal(mean, 0.01 + 0.01 * sum(cell), 4 + cell[0]))) for cell, mean in means.items()
    }
    found = unpaired.effects(Design({"a": [0, 1], "b": [0, 1]}, cells))
    assert [effect.factors for effect in found] == [("a",), ("b",), ("a", "b")]
    rows = [(*cell, value) for cell, values in cells.items() for value in values.values()]
    fit = ols("y ~ 0 + C(cell)", pd.DataFrame([(f"{a}{b}", y) for a, b, y in rows], columns=["cell", "y"])).fit(
        cov_type="HC2"
    )
    for effect, weights in zip(found, ([-0.5, -0.5, 0.5, 0.5], [-0.5, 0.5, -0.5, 0.5], [1, -1, -1, 1]), strict=True):
        reference = fit.t_test(weights)
        difference = effect.difference
        assert difference.mean == pytest.approx(reference.effect.item())
        assert difference.deviation / math.sqrt(difference.n) == pytest.approx(reference.sd.item())
        parts = [(w**2 * np.var([*values.values()], ddof=1) / len(values), len(values) - 1)
                 for w, values in zip(weights, cells.values(), strict=True)]  # fmt: skip
        df = sum(part for part, _ in parts) ** 2 / sum(part**2 / free for part, free in parts)
        assert difference.p == pytest.approx(2 * stats.t.sf(abs(reference.tvalue.item()), df))


def test_combinations_that_lost_runs_are_left_out_of_averages():
    cells = {cell: {0: 1.0 + sum(cell), 1: 1.1 + sum(cell)} for cell in ((0, 0), (0, 1), (1, 0), (1, 1))}
    whole = unpaired.effects(Design({"a": [0, 1], "b": [0, 1]}, cells))
    assert [effect.contexts for effect in whole] == [2, 2, 1]
    lost = unpaired.effects(Design({"a": [0, 1], "b": [0, 1]}, cells, lost={(1, 1): {2}}))
    assert {effect.factors: (effect.contexts, len(effect.left_out)) for effect in lost} == {
        ("a",): (1, 1),
        ("b",): (1, 1),
    }
