"""Not found is not the same as small: equivalent within a margin, undecided, or too few seeds."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from ablate.api.comparing import in_its_units
from ablate.errors import InputError
from ablate.report.answer import answer
from ablate.report.contents import contents
from ablate.report.tables import as_json
from ablate.statistics.equivalence import equivalence_p
from ablate.statistics.paired import Difference

BASELINE = np.array([0.81, 0.80, 0.82, 0.79, 0.805, 0.812, 0.798, 0.803])
SMALL = BASELINE + np.array([1, -1, 2, -2, 1, -1, 0.5, -0.5]) / 1000
NOISY = BASELINE + np.array([30, -25, 20, -31, 12, -8, 22, -11]) / 1000
BETTER = BASELINE + 0.03 + np.array([1, -1, 2, -2, 1, -1, 0.5, -0.5]) / 1000


@pytest.mark.parametrize("ours", [SMALL, NOISY, BETTER])
@pytest.mark.parametrize("margin", [0.002, 0.01, 0.05])
def test_two_one_sided_tests_are_those_of_statsmodels(ours, margin):
    p, _, _ = ttost_paired(ours, BASELINE, -margin, margin)
    assert equivalence_p(Difference(tuple(ours - BASELINE)), margin) == pytest.approx(p, rel=1e-9)


def test_without_spread_the_sign_test_decides():
    assert equivalence_p(Difference((0.0,) * 6), 0.01) == 1 / 64
    assert equivalence_p(Difference((0.02,) * 6), 0.01) == 1
    assert equivalence_p(Difference((0.0,)), 0.01) is None


@pytest.fixture
def variants(run):
    """norm=batch is the baseline; none differs little, group noisily, layer surely."""
    for norm, values in (("batch", BASELINE), ("none", SMALL), ("group", NOISY), ("layer", BETTER)):
        for seed, value in enumerate(values):
            run({"norm": norm}, seed, float(value), history=False)


def test_verdicts_within_a_margin(variants, compared):
    verdicts = {variant.label: variant.verdict for variant in compared(margin=0.005).variants}
    assert verdicts == {
        "baseline": "baseline",
        "norm=none": "equivalent",
        "norm=group": "undecided",
        "norm=layer": "better",
    }
    assert {v.label: v.verdict for v in compared().variants}["norm=none"] == "undecided"
    raw = [ttost_paired(ours, BASELINE, -0.005, 0.005)[0] for ours in (NOISY, BETTER, SMALL)]
    ours = {v.label: v.p_equivalent for v in compared(margin=0.005).variants if not v.is_baseline}
    expected = multipletests(raw, method="holm")[1]
    assert [ours[f"norm={norm}"] for norm in ("group", "layer", "none")] == pytest.approx(expected.tolist())
    known = as_json(contents(compared(margin=0.005)))
    assert known["margin"] == 0.005 and "seeds_needed" not in str(known)


def test_the_answer_says_which_and_never_a_number_of_seeds(run, compared):
    for norm, values in (("batch", BASELINE), ("none", SMALL)):
        for seed, value in enumerate(values):
            run({"norm": norm}, seed, float(value), history=False)
    (said,) = answer(compared(margin=0.005))
    assert said.startswith("The variant is equivalent to the baseline within 0.50 points: the largest difference")
    (said,) = answer(compared())
    assert "still possible" in said and "would show" not in said
    for seed, value in enumerate(NOISY):
        run({"norm": "group"}, seed, float(value), history=False)
    first, second, _ = answer(compared(margin=0.005))
    assert "with all 2 tests counted, anything from −" in first
    assert second == "With a margin of 0.50 points: 1 undecided, 1 equivalent."


def test_a_margin_is_in_the_reports_units():
    assert in_its_units(0.5, "test/acc") == 0.005 and in_its_units(0.5, "train/loss") == 0.5
    assert in_its_units(None, "test/acc") is None
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="a number above 0"):
            in_its_units(wrong, "test/acc")
