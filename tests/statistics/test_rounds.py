"""What each look decides: by hand on chosen numbers, and by how often equal designs are told apart."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.statistics.rounds import Rules, standing
from ablate.statistics.sequential import Looks

LOOKS = Looks((4, 6, 8, 12))


def test_equal_designs_are_told_apart_in_at_most_five_of_a_hundred_sweeps():
    random, sweeps = np.random.default_rng(11), 400
    told = 0
    for _ in range(sweeps):
        values = 0.5 + 0.01 * random.normal(size=(4, 12))
        found = standing(list(values[0]), {str(i): list(values[i]) for i in (1, 2, 3)}, Rules(LOOKS, 3))
        told += any(decision.is_called for decision in found.decisions.values())
    # 0.05 and three standard errors of 400 sweeps; looks at 5% each would be at about 0.2.
    assert told / sweeps < 0.05 + 3 * math.sqrt(0.05 * 0.95 / sweeps)


@pytest.mark.parametrize("seed", range(5))
def test_decisions_do_not_depend_on_when_one_asks(seed):
    random = np.random.default_rng(seed)
    values = 0.5 + 0.01 * random.normal(size=(5, 12)) + np.array([0, 0, 0.01, 0.02, 0.05])[:, None]
    everything = standing(list(values[0]), {str(i): list(values[i]) for i in range(1, 5)}, Rules(LOOKS, 4, 0.02))
    assert everything.look is None and len(everything.decisions) == 4
    for known in range(12):
        part = standing(
            list(values[0, :known]), {str(i): list(values[i, :known]) for i in range(1, 5)}, Rules(LOOKS, 4, 0.02)
        )
        reached = [name for name, decision in everything.decisions.items() if LOOKS.seeds[decision.look] <= known]
        assert {name: d.outcome for name, d in part.decisions.items()} == {
            name: everything.decisions[name].outcome for name in reached
        }
        assert set(part.running) == set(everything.decisions) - set(reached)


def test_a_look_asks_for_its_own_bound():
    baseline = [0.5, 0.51, 0.49, 0.5]
    gains = np.array([0.1, 0.12, 0.09, 0.11])
    p = float(stats.ttest_1samp(gains, 0).pvalue)
    found = standing(baseline, {"a": list(gains + baseline)}, Rules(LOOKS, 1)).decisions["a"]
    assert (found.outcome, found.look, found.test.p) == ("better", 0, pytest.approx(p))
    assert found.bound == LOOKS.bounds(0.05)[0]
    assert p < found.bound < 0.05
    # In a family so large that the bound falls below p, it goes on.
    family = math.ceil(0.05 / p)
    assert standing(baseline, {"a": list(gains + baseline)}, Rules(LOOKS, family)).running == ("a",)


def test_what_else_stops_a_variant():
    random = np.random.default_rng(3)
    baseline = list(0.5 + 0.001 * random.normal(size=12))
    alike = list(0.5 + 0.001 * random.normal(size=12))
    variants = {"alike": alike, "lost": [-math.inf] * 12}
    with_margin = standing(baseline, variants, Rules(LOOKS, 2, 0.02)).decisions
    assert {name: d.outcome for name, d in with_margin.items()} == {"alike": "equivalent", "lost": "diverged"}
    without = standing(baseline, variants, Rules(LOOKS, 2)).decisions["alike"]
    assert without.outcome == "given up" and without.look < 3


def test_seeds_at_chance_are_no_gain_by_their_mean():
    # Half of the baseline's seeds never learn, so its mean is far below; ranks of four seeds cannot tell.
    baseline = [0.1, 0.8, 0.1, 0.81]
    found = standing(baseline, {"a": [0.8, 0.81, 0.79, 0.8]}, Rules(LOOKS, 1), chance=0.1)
    assert found.running == ("a",) and found.look == 1
