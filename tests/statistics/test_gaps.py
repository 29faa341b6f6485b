"""Crossed choices with runs missing, and with runs that diverged. 5 s."""

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.effects import Design, effects
from ablate.statistics.gaps import CellMeans

FACTORS = {"norm": ["batch", "none"], "placement": ["a", "b", "c", "d", "e"]}
# Sixty runs: ten combinations, six seeds. What norm=none does depends on the placement; -8.81 on average.
SHIFTS = (-20.0, -10.0, -5.05, -5.0, -4.0)


def crossed(random, spread=1.0):
    seeds = random.normal(0, 3, 6)
    return {
        (norm, place): {s: 80 - place + norm * SHIFTS[place] + seeds[s] + spread * random.normal() for s in range(6)}
        for norm in (0, 1)
        for place in range(5)
    }


def without(cells, *gaps):
    return {levels: {s: v for s, v in found.items() if (*levels, s) not in gaps} for levels, found in cells.items()}


def norm_effect(cells, **lost):
    return next(e for e in effects(Design(FACTORS, cells, **lost)) if e.factors == ("norm",))


GAPS = ((1, 0, 2), (1, 0, 3), (1, 1, 5))


def test_three_of_sixty_missing_are_filled_by_least_squares():
    import pandas as pd
    from statsmodels.formula.api import ols

    cells = without(crossed(np.random.default_rng(1)), *GAPS)
    rows = [(f"{n}{p}", s, y) for (n, p), found in cells.items() for s, y in found.items()]
    fit = ols("y ~ C(cell) + C(seed)", pd.DataFrame(rows, columns=["cell", "seed", "y"])).fit()
    predicted = {
        (n, p): fit.predict(pd.DataFrame([(f"{n}{p}", s) for s in range(6)], columns=["cell", "seed"])).mean()
        for n in (0, 1)
        for p in range(5)
    }
    expected = np.mean([predicted[1, p] - predicted[0, p] for p in range(5)])
    found = norm_effect(cells)
    assert found.difference.mean == pytest.approx(expected, abs=1e-9)
    assert (found.contexts, found.possible, found.missing, found.difference.n) == (5, 5, 3, 6)


def test_without_gaps_each_seed_has_its_own_contrast():
    cells = crossed(np.random.default_rng(2))
    contexts = [{(1, p): 1, (0, p): -1} for p in range(5)]
    means = [np.mean([cells[1, p][s] - cells[0, p][s] for p in range(5)]) for s in range(6)]
    assert CellMeans(cells).contrast(contexts) == pytest.approx(means)
    assert norm_effect(cells).difference.values == pytest.approx(means)


def test_gaps_leave_the_estimate_right_and_the_interval_true():
    random, covered, means = np.random.default_rng(3), 0, []
    sweeps = 400
    for _ in range(sweeps):
        difference = norm_effect(without(crossed(random, spread=3.0), *GAPS)).difference
        low, high = difference.interval
        covered += low <= -8.81 <= high
        means.append(difference.mean)
    assert np.mean(means) == pytest.approx(-8.81, abs=4 * np.std(means) / sweeps**0.5)
    assert covered >= stats.binom.ppf(0.001, sweeps, 0.95)


def test_seeds_that_no_cell_shares_are_not_compared():
    apart = {(0,): {0: 1.0, 1: 2.0}, (1,): {2: 5.0, 3: 6.0}}
    assert not CellMeans(apart).can({(0,): 1, (1,): -1})
    once = {(0,): {0: 1.0, 1: 2.0, 2: 2.0}, (1,): {0: 5.0}}
    assert not CellMeans(once).can({(0,): 1, (1,): -1})  # nothing is left without seed 0


def test_a_combination_that_diverged_is_no_gap():
    cells = {(n, p): dict(found) for (n, p), found in crossed(np.random.default_rng(4), 0.3).items() if p < 3}
    cells[1, 0], cells[1, 1], cells[1, 2] = {}, cells[0, 1], cells[0, 2]
    cells[1, 1] = {s: v + 2 + s / 50 for s, v in cells[0, 1].items()}
    cells[1, 2] = {s: v + 1.9 for s, v in cells[0, 2].items()}
    factors = FACTORS | {"placement": ["a", "b", "c"]}
    design = Design(factors, cells, lost={(1, 0): set(range(6))})
    found = next(e for e in effects(design) if e.factors == ("norm",))
    assert found.difference.mean == pytest.approx(1.975)  # of those that are left
    assert (found.contexts, found.possible, found.test.lost) == (2, 3, (6, 0))
    (left,) = found.left_out
    assert (left.where, left.diverged, left.ended) == ({"placement": "a"}, (6, 0), (6, 6))
    assert found.test.direction == -1 and found.test.p == pytest.approx(2 / 924)


def test_a_combination_of_which_some_seeds_diverged_is_no_gap_either():
    cells = crossed(np.random.default_rng(5), 0.3)
    lost = {(1, 4): {0, 3}}
    cells[1, 4] = {seed: value for seed, value in cells[1, 4].items() if seed not in lost[1, 4]}
    found = norm_effect(cells, lost=lost)
    expected = np.mean([cells[1, p][s] - cells[0, p][s] for p in range(4) for s in range(6)])
    assert found.difference.mean == pytest.approx(expected)
    assert (found.contexts, found.possible, found.missing, found.test.lost) == (4, 5, 0, (2, 0))
    (left,) = found.left_out
    assert (left.where, left.diverged, left.ended) == ({"placement": "e"}, (2, 0), (6, 6))
