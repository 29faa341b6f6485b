"""The answers to the study's own questions: which variants they name, which way, and that the numbers are SciPy's."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.comparison.comparison import Comparison
from ablate.comparison.simple import simple_effects, strongest_interaction
from ablate.comparison.values import again
from ablate.report.answer import answer

RESULTS = Path(__file__).resolve().parents[2] / "results"


def stored(name: str) -> Comparison:
    known = json.loads((RESULTS / name / "comparison.json").read_text(encoding="utf-8"))
    comparison = again(known)
    comparison.question = known["question"]
    return comparison


def values(name: str, **choices: object) -> list[float]:
    """A variant's results by seed, as the file has them."""
    known = json.loads((RESULTS / name / "comparison.json").read_text(encoding="utf-8"))
    (found,) = [v for v in known["variants"] if v["assignment"] == choices]
    return [run["value"] for run in found["runs"]]


def signed(number: float, decimals: int) -> str:
    return f"{number:+.{decimals}f}".replace("-", "−")


def test_depth_is_answered_for_plain_and_for_residual_nets():
    first = answer(stored("depth"))[0]
    assert first.startswith("It depends on the shortcut. With no shortcut model=resnet56 instead of resnet20 raises ")
    _, plain, residual = first.split(". With ")
    for said, shortcut, direction, decimals in ((plain, "none", "raises", 2), (residual, "zero_pad", "lowers", 3)):
        ours, theirs = (values("depth", shortcut=shortcut, model=model) for model in ("resnet56", "resnet20"))
        test = stats.ttest_rel(ours, theirs)
        low, high = test.confidence_interval(0.95)
        mean = abs(np.mean(ours) - np.mean(theirs))
        low, high = sorted(map(abs, (low, high)))
        assert f" {direction} train/loss by {mean:.{decimals}f} " in said
        assert f"(95% CI {low:.{decimals}f} to {high:.{decimals}f}, p " in said
    assert plain.startswith("no shortcut") and residual.startswith("shortcut=zero_pad")


def test_norm_is_answered_at_both_learning_rates():
    first, alone, failing, best = answer(stored("norm"))
    assert first.startswith(
        "It depends on the lr. With lr=0.05 taking the norm away is worse by 49.8 points in the mean: 5 of its 8 seeds "
        "never learn, none of the baseline's (exact rank test, p = 0.001, 8 seeds). With lr=0.005 it makes no "
        "difference that 8 seeds can see: −1.0 points (95% CI −2.8 to +0.8, p = "
    )
    low = [values("norm", norm=norm, shortcut="zero_pad", **{"optimizer.lr": 0.005}) for norm in ("none", "batch")]
    interval = stats.ttest_rel(*low).confidence_interval(0.95)
    assert [signed(100 * end, 1) for end in interval] == ["−2.8", "+0.8"]
    assert "taking the shortcut away costs 6.5 points (95% CI 5.7 to 7.2" in alone
    assert "norm=none shortcut=none (8 of 8 never learn)" in failing
    assert "(5 of 8 end in the worse of two groups, 4 of them at chance)" in failing
    assert best == "Best mean of all 8 variants: the baseline, test/acc 85.65%."


def test_a_simple_effect_is_corrected_with_all_tests_of_the_report():
    comparison = stored("norm")
    interaction = strongest_interaction(comparison)
    assert interaction and interaction.factors == ("norm", "optimizer.lr")
    _, slow = simple_effects(comparison, interaction, "norm")
    ours, theirs = (
        values("norm", norm=norm, shortcut="zero_pad", **{"optimizer.lr": 0.005}) for norm in ("none", "batch")
    )
    p = stats.ttest_rel(ours, theirs).pvalue
    family = [v.test.p for v in comparison.variants if v.test] + [e.test.p for e in comparison.effects]
    assert len(family) == 13
    assert slow.p_holm == pytest.approx(multipletests([*family, p], method="holm")[1][-1])
    assert slow.verdict == "undecided"


def test_one_choice_names_the_best_and_the_worst():
    best, worst, others = answer(stored("shortcuts"))
    assert best == "zero_pad, the baseline, is best (test/acc 85.65%): all 3 others are worse."
    assert worst.startswith("No shortcut is worst: it costs 6.5 points (95% CI 5.7 to 7.2, p < 0.001, 8 seeds)")
    assert others == "Worse: projection (−0.7 points), projection_all (−2.27 points)."


def test_a_block_that_always_diverges_is_the_worst():
    best, worst, others = answer(stored("blocks"))
    assert best.startswith(
        "functional_batchnorm is best (test/acc 80.15%): against functional_basic it gains 5.0 points"
    )
    assert worst.startswith("functional_direct is worst: all 8 of its seeds diverged, none of the baseline's (")
    assert "functional_activation (+2.8 points)" in others and "functional_expand_contract (−2.0 points)" in others


def test_where_nothing_is_certain_the_range_is_told():
    first, best = answer(stored("block_depth"))
    ours, theirs = (values("block_depth", experiment=f"stepwise_block_depth{n}") for n in (1, 2))
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(1 - 0.05 / 3)
    left = f"anything from {signed(100 * low, 1)} to {signed(100 * high, 1)} points is still possible."
    assert first.startswith("These runs can't tell any of 3 variants from the baseline: ") and first.endswith(left)
    assert best.startswith("Best mean: stepwise_block_depth2 (81.93%), worst: stepwise_block_depth1 (80.33%)")


def test_two_of_one_choice_are_compared_by_name():
    (said,) = answer(stored("cost"))
    start = "experiment=patterns_resnet34 instead of patterns_vgg16 takes 15.1 s less (95% CI 13.1 to 17.0"
    assert said.startswith(start) and said.endswith(": better.")


@pytest.mark.parametrize(("together", "depends"), [(0.02, False), (0.06, True)])
def test_it_depends_where_an_interaction_is_half_of_a_main_effect(run, compared, together, depends):
    """norm=none costs 10 points; with shortcut=projection, which itself does nothing, `together` more or less."""
    noise = np.random.default_rng(0).normal(0, 0.001, (2, 2, 6))
    for i, norm in enumerate(("batch", "none")):
        for j, shortcut in enumerate(("zero_pad", "projection")):
            for seed in range(6):
                value = 0.9 - 0.1 * i - 0.1 * j + together * i * j + noise[i, j, seed]
                run({"norm": norm, "shortcut": shortcut}, seed, value, history=False)
    comparison = compared()
    (interaction,) = [effect for effect in comparison.effects if len(effect.factors) == 2]
    assert interaction.is_certain  # the main effects are 0.1 - together / 2, twice 0.02 is less, 0.06 more
    assert answer(comparison)[0].startswith("It depends on the shortcut.") == depends
    if depends:
        costs = [10.0, 4.0]
        for where, cost in zip(
            ("With shortcut=zero_pad taking the norm away costs", "With shortcut=projection it costs"),
            costs,
            strict=True,
        ):
            said = answer(comparison)[0].split(where)[1].split(" points")[0]
            assert float(said) == pytest.approx(cost, abs=0.2)
