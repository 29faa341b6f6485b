"""Runs become variants, pairs and warnings."""

import json
import re
import shlex

import pytest
import yaml
from scipy import stats

from ablate.comparison.comparison import Comparison
from ablate.comparison.results import find
from ablate.comparison.variants import Variant
from ablate.errors import InputError
from ablate.paths import CONF
from ablate.report.answer import answer
from ablate.report.contents import contents
from ablate.report.notes import notes

BATCH, NONE = {"norm": "batch"}, {"norm": "none"}


def labelled(comparison: Comparison, label: str) -> Variant:
    return next(variant for variant in comparison.variants if variant.label == label)


def test_variants_are_named_by_what_differs_from_the_defaults(run, compared):
    for shortcut in ("projection", "zero_pad"):
        for norm in ("none", "batch"):
            for seed in (0, 1):
                run({"trainer.max_epochs": 3, "shortcut": shortcut, "norm": norm}, seed, 0.5, history=False)
    comparison = compared()
    assert comparison.factors == {"shortcut": ["zero_pad", "projection"], "norm": ["batch", "none"]}
    assert [variant.label for variant in comparison.variants] == [
        *("baseline", "norm=none", "shortcut=projection", "shortcut=projection norm=none")
    ]
    assert comparison.baseline.assignment == {"shortcut": "zero_pad", "norm": "batch"}
    assert {factors for effect in comparison.effects for factors in [effect.factors]} == {
        *(("shortcut",), ("norm",), ("shortcut", "norm"))
    }


def test_a_run_that_did_not_type_a_choice_has_its_default(run, compared):
    run({}, 0, 0.9, history=False)
    run({"norm": "none"}, 0, 0.5, history=False)
    run({"optimizer.lr": 0.3}, 0, 0.7, history=False)
    comparison = compared()
    assert comparison.factors == {"norm": ["batch", "none"], "optimizer.lr": [0.001, 0.3]}
    assert [variant.label for variant in comparison.variants] == ["baseline", "optimizer.lr=0.3", "norm=none"]


def test_what_cannot_change_a_result_makes_no_variant(run, compared):
    run({"tracking": "disabled", "data.num_workers": 2}, 0, 0.9, history=False)
    run({"tracking": "offline"}, 1, 0.9, history=False)
    assert compared().factors == {}
    assert answer(compared())[0].startswith("There is one variant")


def test_a_chosen_baseline_turns_the_differences_round(run, compared):
    for norm, value in (("batch", 0.9), ("none", 0.6)):
        for seed in range(3):
            run({"norm": norm}, seed, value + seed / 100 + (norm == "none") * seed / 1000, history=False)
    assert labelled(compared(), "norm=none").difference.mean == pytest.approx(-0.299)
    turned = compared(chosen={"norm": "none"})
    assert turned.baseline.assignment == NONE
    assert labelled(turned, "norm=batch").difference.mean == pytest.approx(0.299)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"norm": "layer"}, "no run has this value. They have batch, none"),
        ({"placement": "original"}, "placement is not a choice that varies here. Those that do: norm"),
    ],
)
def test_a_baseline_that_is_not_there_is_refused(run, compared, chosen, said):
    run(BATCH, 0, 0.9, history=False)
    run(NONE, 0, 0.8, history=False)
    with pytest.raises(InputError, match=said):
        compared(chosen=chosen)


def test_unequal_seeds_pair_on_the_common_ones_and_say_so(run, compared):
    for seed, value in ((0, 0.90), (1, 0.92), (2, 0.94), (3, 0.99)):
        run(BATCH, seed, value, history=False)
    for seed, value in ((1, 0.82), (2, 0.85), (3, 0.88), (7, 0.10)):
        run(NONE, seed, value, history=False)
    comparison = compared()
    none = labelled(comparison, "norm=none")
    assert none.paired_seeds == (1, 2, 3)
    assert none.difference.values == pytest.approx((-0.10, -0.09, -0.11))
    assert any("Unequal seeds: norm=none is paired" in note for note in notes(comparison))
    assert not any("not run yet" in note for note in notes(comparison)), "nobody has asked for other runs"


def test_a_diverged_run_is_counted_never_dropped(run, compared):
    for seed in range(3):
        run(BATCH, seed, 0.9 + seed / 100, history=False)
    run(NONE, 0, 0.95, history=False)
    for seed in (1, 2):
        run(NONE, seed, None, status="diverged", diverged_at=12, history=False)
    none = labelled(comparison := compared(), "norm=none")
    assert none.seeds("diverged") == [1, 2]
    assert none.difference.values == pytest.approx((0.05,))
    assert (none.outperforming.wins, none.outperforming.n) == (1, 3)
    assert any("norm=none (2 of 3)" in note for note in notes(comparison))


def test_an_interval_against_a_variant_that_guesses_is_said_to_tell_of_one_side(run, compared):
    for seed in range(4):
        run({}, seed, 0.9 + 0.01 * seed)
        run({"norm": "none"}, seed, 0.1 + 0.001 * seed)
        run({"shortcut": "projection"}, seed, 0.8 + 0.01 * seed**2)
    (said,) = [note for note in notes(compared()) if note.startswith("At chance in every seed")]
    assert said.startswith("At chance in every seed: norm=none. The interval of such a difference tells of the other")
    run({"norm": "none"}, 4, 0.9)
    run({}, 4, 0.9)
    assert not any("At chance in every" in note for note in notes(compared())), "its seeds are split, which is said"


def test_a_failed_run_is_no_result(run, compared):
    for seed in range(2):
        run(BATCH, seed, 0.9, history=False)
        run(NONE, seed, 0.8, status="failed" if seed else "finished", history=False)
    none = labelled(compared(), "norm=none")
    assert (none.estimate.n, none.seeds("failed"), none.outperforming.n) == (1, [1], 1)


def test_loss_is_better_when_it_is_lower(run, compared):
    for seed in range(4):
        run(BATCH, seed, 0.9, history=False, summary={"test/loss": 0.5 + seed / 100})
        run(NONE, seed, 0.9, history=False, summary={"test/loss": 0.4 + seed / 90})
    comparison = compared(metric="test/loss")
    assert comparison.goal == "minimize"
    assert labelled(comparison, "norm=none").outperforming.share == 1


def test_a_cost_is_compared_as_a_metric_and_less_is_better(run, compared):
    for seed in range(3):
        run(BATCH, seed, 0.9, history=False, cost={"seconds": 60.0 + seed})
        run(NONE, seed, 0.9, history=False, cost={"seconds": 40.0 + 2 * seed})
    comparison = compared(metric="cost/seconds")
    assert comparison.goal == "minimize"
    assert labelled(comparison, "norm=none").difference.mean == pytest.approx(-19)
    assert contents(comparison).rows[1]["difference"][1] == "−19.0"


def test_a_report_says_what_the_runs_took_and_on_what(run, compared):
    for seed in range(3):
        run(BATCH, seed, 0.9, history=False, cost={"seconds": 60.0})
    run(NONE, 0, None, history=False, status="diverged", cost={"seconds": 30.0})
    said = "4 runs of resnet20 on digits, N epochs, 3 min 30 s of training in all, on CPU A (2 cores), torch 1.0"
    said += ", code 0123456789; a seed changes the first weights and the order of the data"
    assert re.sub(r"\d+ epochs", "N epochs", contents(compared()).made) == said  # the default is not the point


def test_a_metric_that_no_run_has_is_refused(run, compared):
    run(BATCH, 0, 0.9, history=False)
    known = r"They have cost/macs, cost/params, cost/seconds, test/acc, val/acc"
    with pytest.raises(InputError, match=rf"no run has it\. Did you mean test/acc\? {known}"):
        compared(metric="test/accuracy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cost": {"params": 1100}}, "+10.00% parameters"),
        ({"cost": {"macs": 40_000}}, "−20.00% multiply-adds"),
        (
            {"provenance": {"git": {"commit": "fedcba9876543210", "dirty": False}}},
            "code other than the baseline's in seed 1: fedcba9876 instead of 0123456789",
        ),
        (
            {"provenance": {"hardware": {"host": "b", "cpu": "CPU B", "gpus": ["H100"]}}},
            "hardware other than the baseline's in seed 1: H100 instead of CPU A",
        ),
        (
            {"provenance": {"packages": {"torch": "2.0"}}},
            "library versions other than the baseline's in seed 1: torch 2.0 instead of",
        ),
        ({"provenance": {"data_checksum": "d2"}}, "data other than the baseline's in seed 1: d2 instead of d1"),
        ({"resumed": True}, "resumed after an interruption: seed 1"),
    ],
)
def test_confounds_are_told_beside_their_variant(run, compared, change, said):
    run(BATCH, 0, 0.9, history=False)
    run(BATCH, 1, 0.9, history=False)
    run(NONE, 0, 0.8, history=False, cost=change.get("cost"))
    run(NONE, 1, 0.8, history=False, **change)
    none = labelled(compared(), "norm=none")
    assert any(warning.startswith(said) for warning in none.confounds), none.confounds
    assert len(none.confounds) == 1
    assert labelled(compared(), "baseline").confounds == []


def test_a_seed_of_the_data_that_was_typed_does_not_follow_the_seed(run, compared, tmp_path):
    for seed in range(3):
        config = run(BATCH | {"data.seed": 1}, seed, 0.9, history=False) / "config.yaml"
        config.write_text(re.sub(r"^  seed: \d$", "  seed: 1", config.read_text(), flags=re.MULTILINE))
    assert [len(variant.entries) for variant in compared().variants] == [3]


def test_a_value_that_changed_besides_the_choice_is_told(run, compared, tmp_path):
    run(BATCH, 0, 0.9, history=False)
    config = run(NONE, 0, 0.8, history=False) / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("label_smoothing: 0.0", "label_smoothing: 0.1"))
    assert labelled(compared(), "norm=none").confounds == ["also differs: label_smoothing 0.0 → 0.1"]


def changed_in(directory, **values):
    config = directory / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | values, sort_keys=False))


def test_what_a_choice_sets_itself_is_no_difference_besides_it(run, compared):
    """norm=none gives convolutions a bias, resnet50 another block: as their files in conf/ say."""
    run(BATCH, 0, 0.9, history=False)
    changed_in(run(NONE, 0, 0.8, history=False), conv_bias=True)
    bottleneck = yaml.safe_load((CONF / "block" / "bottleneck.yaml").read_text())
    changed_in(run({"model": "resnet50"}, 0, 0.7, history=False), block=bottleneck)
    assert labelled(compared(), "norm=none").confounds == []
    assert labelled(compared(), "model=resnet50").confounds == []
    assert labelled(compared(chosen={"norm": "none"}), "norm=batch").confounds == []


def test_what_a_choice_does_not_set_is_told_though_another_choice_would(run, compared):
    run(BATCH, 0, 0.9, history=False)
    changed_in(run({"norm": "group"}, 0, 0.8, history=False), conv_bias=True)
    changed_in(run(NONE, 0, 0.8, history=False), conv_bias=True, label_smoothing=0.1)
    assert labelled(compared(), "norm=group").confounds == ["also differs: conv_bias False → True"]
    assert labelled(compared(), "norm=none").confounds == ["also differs: label_smoothing 0.0 → 0.1"]


def test_a_key_that_a_run_is_older_than_has_its_old_value(run, compared):
    config = run(BATCH, 0, 0.9, history=False) / "config.yaml"
    assert "padding: both\n" in config.read_text()
    config.write_text(config.read_text().replace("padding: both\n", ""))
    run(NONE, 0, 0.8, history=False)
    run(BATCH | {"padding": "same"}, 0, 0.7, history=False)
    assert labelled(compared(), "norm=none").confounds == []
    padded = labelled(compared(), "padding=same")
    assert padded.confounds == [] and compared().baseline.assignment["padding"] == "both"


def test_of_two_runs_of_one_cell_the_finished_one_counts(run, compared):
    run(BATCH, 0, 0.9, history=False)
    run(BATCH, 0, None, history=False, status="interrupted", started="2027-01-01T00:00:00+00:00")
    baseline = compared().baseline
    assert baseline.values == {0: 0.9}
    assert len(baseline.entries) == 1 and "do not count" in baseline.confounds[0]


@pytest.mark.parametrize(("max_epochs", "finished"), [(5, False), (4, True)])
def test_a_run_that_an_older_version_ended_by_the_clock_has_no_result(run, compared, max_epochs, finished):
    run(BATCH, 0, 0.9, history=False)
    run(NONE | {"trainer.max_epochs": max_epochs, "trainer.max_time": "00:00:00:10"}, 0, 0.8, epochs=4)
    comparison = compared()
    assert comparison.count("finished") == 1 + finished
    if not finished:
        (lost,) = [entry for variant in comparison.variants for entry in variant.entries if entry.status != "finished"]
        assert lost.status == "interrupted" and lost.reason.startswith("trainer.max_time had ended it")
        assert "1 interrupted" in " ".join(notes(comparison))


def test_commands_make_the_runs_again(run, compared):
    for seed in (0, 1, 2):
        run(BATCH, seed, 0.9, history=False)
    run(NONE | {"+note": "'two words'"}, 2, 0.8, history=False)
    comparison = compared()
    assert comparison.baseline.command() == "python -m ablate -m norm=batch seed=0,1,2"
    other = comparison.variants[1]
    assert shlex.split(other.command([5])) == ["python", "-m", "ablate", "norm=none", "+note='two words'", "seed=5"]


def test_gradient_flow_verdicts_are_counted(run, compared):
    for seed, verdict in enumerate(("vanishing", "healthy", "vanishing", None)):
        run(BATCH, seed, 0.9, history=False, gradient_flow=verdict)
    run(NONE, 0, 0.9, history=False)
    assert compared().baseline.gradient_flow == {"vanishing": 2, "even": 1}
    assert compared().variants[1].gradient_flow == {}


def test_the_answer_names_the_choice_that_matters(run, compared):
    noise = (0.0, 0.013, -0.008, 0.005)
    for norm, shortcut, value in (
        *(("batch", "zero_pad", 0.9), ("batch", "projection", 0.901)),
        *(("none", "zero_pad", 0.7), ("none", "projection", 0.7)),
    ):
        for seed, n in enumerate(noise):
            own = 0.002 * ((seed * 7 + len(norm) + 2 * len(shortcut)) % 5 - 2)
            run({"norm": norm, "shortcut": shortcut}, seed, value + n + own, history=False)
    first, second, best = answer(compared())
    assert first.startswith("norm matters most: taking the norm away costs 20.")
    assert "4 seeds" in first and "averaged over 2 combinations" in first
    assert second.startswith("shortcut is undecided: shortcut=projection instead of zero_pad changes test/acc by ")
    assert best == "Best mean of all 4 variants: shortcut=projection, test/acc 90.3% (against the baseline: undecided)."


def test_runs_that_cannot_tell_say_what_is_still_possible(run, compared):
    for seed, (a, b) in enumerate(((0.90, 0.91), (0.92, 0.91), (0.91, 0.93))):
        run(BATCH, seed, a, history=False)
        run(NONE, seed, b, history=False)
    (said,) = answer(compared())
    assert said.startswith("Taking the norm away makes no difference that 3 seeds can see: +0.7 points (")
    low, high = stats.ttest_1samp([0.01, -0.01, 0.02], 0).confidence_interval()
    assert f"(95% CI −{-100 * low:.1f} to +{100 * high:.1f}, p = " in said
    assert said.endswith("; all of that interval is still possible.")
    assert any("cannot bring 3 seeds below p = 0.25" in note for note in notes(compared()))


def test_one_seed_gives_no_interval_and_says_so(run, compared):
    run(BATCH, 0, 0.9, history=False)
    run(NONE, 0, 0.8, history=False)
    none = labelled(comparison := compared(), "norm=none")
    assert (none.difference.interval, none.p_holm, none.estimate.interval) == (None, None, None)
    assert "(one seed: no interval)" in answer(comparison)[0]
    assert any("A variant with one seed has no interval and no test" in note for note in notes(comparison))


def test_nothing_finished_and_nothing_found_are_said(run, compared, tmp_path):
    run(BATCH, 0, None, status="running", history=False)
    assert answer(compared())[0] == "No run has finished with a test/acc yet."
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no run"):
        find([tmp_path / "empty"])
    with pytest.raises(InputError, match="no such file or folder"):
        find([tmp_path / "nowhere"])


def test_a_torn_directory_is_named(run, compared):
    (run(BATCH, 0, 0.9, history=False) / "run.json").write_text("{")
    with pytest.raises(InputError, match="is not a whole run"):
        compared()


def test_json_is_whole(run, compared):
    from ablate.report.contents import contents
    from ablate.report.tables import as_json

    for seed in range(3):
        run(BATCH, seed, 0.9 + seed / 100, history=False)
        run(NONE, seed, 0.8 + seed / 90, history=False)
    whole = json.loads(json.dumps(as_json(contents(compared())), allow_nan=False))
    baseline, none = whole["variants"]
    assert none["difference"]["mean"] == pytest.approx(sum((0.1 - seed * (1 / 90 - 1 / 100)) for seed in range(3)) / -3)
    assert none["difference"]["least_p_sign_flip"] == 0.25
    assert [r["value"] for r in baseline["runs"]] == pytest.approx([0.9, 0.91, 0.92])
