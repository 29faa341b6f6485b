"""Claims held against reports of simulated runs."""

import json

import numpy as np
import pytest
import yaml
from scipy import stats

from ablate.errors import InputError
from ablate.report import claims
from ablate.report.contents import contents
from ablate.report.folder import write

CLAIM = {"claim": "Norm helps.", "source": "A paper", "number": "a lot", "report": "norm", "variant": "norm=none"}
WITH = [0.90, 0.91, 0.89, 0.92]
WITHOUT = [0.80, 0.82, 0.79, 0.83]


@pytest.fixture
def report(run, compared, tmp_path):
    """`report(without, metric=…)`: two variants' runs, reported in norm/."""

    def made(without, **options):
        for seed, (a, b) in enumerate(zip(WITH, without, strict=True)):
            run({"norm": "batch"}, seed, a, history=False, cost={"seconds": 60.0 + seed})
            status = "finished" if b is not None else "diverged"
            run({"norm": "none"}, seed, b, history=False, status=status, cost={"seconds": 20.0, "params": 250})
        write(contents(compared(**options)), tmp_path / "norm")

    return made


@pytest.fixture
def answer(tmp_path):
    return lambda **changes: claims.answer(CLAIM | changes, tmp_path)


def test_a_certain_difference_agrees_or_disagrees(report, answer):
    report(WITHOUT)
    test = stats.ttest_rel(WITHOUT, WITH)
    low, high = test.confidence_interval(0.95)
    assert test.pvalue < 0.05
    agreed = answer(expected="worse")
    said = f"−{100 * 0.095:.2f} points (−{-100 * low:.2f} to −{-100 * high:.2f}), n = 4"
    assert (agreed.ours, agreed.verdict) == (said, "agrees")
    assert answer(expected="better").verdict == "disagrees"


def test_an_uncertain_difference_cannot_tell(report, answer):
    without = [0.91, 0.90, 0.90, 0.91]
    assert stats.ttest_rel(without, WITH).pvalue > 0.5
    report(without)
    assert answer(expected="worse").verdict == answer(expected="better").verdict == "can't tell"


def test_runs_that_all_diverged_are_worse(report, answer):
    report([None] * 4)
    assert answer(expected="worse") == claims.Answer("diverged in 4 of 4 runs", "agrees")
    assert answer(expected="better").verdict == "disagrees"


def test_some_that_diverged_are_said(report, answer):
    report([0.80, 0.82, 0.79, None])
    found = answer(expected="worse")
    assert found == claims.Answer("−9.67 points (diverged: 1 of 4, of the baseline 0), n = 3", "agrees")


def test_those_that_are_left_cannot_tell_that_a_variant_is_better(report, answer):
    report([0.95, 0.96, 0.94, None])
    assert answer(expected="better").verdict == answer(expected="worse").verdict == "can't tell"


def test_an_older_comparison_is_judged_by_todays_rules(report, answer, tmp_path):
    report([0.95, 0.96, 0.94, None])
    path = tmp_path / "norm" / "comparison.json"
    known = json.loads(path.read_text())
    for variant in known["variants"]:
        del variant["verdict"], variant["test"], variant["low_seeds"]
        if variant["difference"]:
            variant["difference"]["p_holm"] = 0.001
    path.write_text(json.dumps(known))
    assert answer(expected="better").verdict == "can't tell"


def test_less_of_a_cost_is_better(report, answer):
    report(WITHOUT, metric="cost/seconds")
    assert answer(expected="better").ours.startswith("`cost/seconds` −41.5 s")
    assert answer(expected="better").verdict == "agrees"


def test_ratios_of_costs(report, answer):
    report(WITHOUT, metric="cost/seconds")
    logarithms = np.log(np.array([60.0, 61, 62, 63]) / 20)
    low, high = np.exp(stats.t.interval(0.95, 3, logarithms.mean(), stats.sem(logarithms)))
    found = answer(ratio="seconds", expected=3.1)
    assert low < 3.1 < high
    assert found.ours == f"{np.exp(logarithms.mean()):.1f} times ({low:.1f} to {high:.1f}), n = 4"
    assert [found.verdict, answer(ratio="seconds", expected=6).verdict] == ["agrees", "disagrees"]
    assert answer(ratio="params", expected=4) == claims.Answer("4.0 times", "agrees")
    assert answer(ratio="params", expected=4.2).verdict == "disagrees"


def test_a_main_effect(run, compared, tmp_path, answer):
    for seed in range(4):
        for norm, shortcut, value in (("batch", "zero_pad", 0.9), ("none", "zero_pad", 0.8), ("batch", "none", 0.7)):
            run({"norm": norm, "shortcut": shortcut}, seed, value + seed / 100, history=False)
        run({"norm": "none", "shortcut": "none"}, seed, 0.4 + seed / 90, history=False)
    write(contents(compared()), tmp_path / "norm")
    claim = {key: value for key, value in CLAIM.items() if key != "variant"} | {"effect": {"norm": "none"}}
    found = claims.answer(claim | {"expected": "worse"}, tmp_path)
    assert found.ours.startswith("−19.92 points") and found.verdict == "agrees"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expected": "lower"}, "better or worse"),
        ({"expected": 6}, "better or worse"),
        ({"expected": "worse", "effect": {"norm": "none"}}, "either a variant or an effect"),
        ({"expected": "worse", "repport": "x"}, "Did you mean report"),
        ({}, "lacks expected"),
        ({"expected": "six", "ratio": "seconds"}, "a number of a ratio"),
        ({"expected": 6, "ratio": "time"}, "a ratio of seconds, params or macs"),
        ({"expected": "worse", "variant": "norm=non"}, "Did you mean norm=none"),
        ({"expected": "worse", "report": "elsewhere"}, "elsewhere.comparison.json cannot be read"),
    ],
)
def test_wrong_claims_are_refused(report, tmp_path, change, said):
    report(WITHOUT)
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM | change]))
    with pytest.raises(InputError, match=said):
        claims.show(tmp_path / "claims.yaml")


def test_the_table(report, tmp_path, capsys):
    report(WITHOUT)
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM | {"expected": "worse"}]))
    claims.show(tmp_path / "claims.yaml")
    *_, row = capsys.readouterr().out.splitlines()
    assert row.startswith("| Norm helps. | [A paper](") and row.endswith("| **agrees** |")
