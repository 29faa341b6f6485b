"""Runs become variants, pairs and warnings. 20 s, of which the sweep files take half."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest

from ablate.errors import InputError
from ablate.report.answer import answer, notes
from ablate.study.commandline import register_resolvers
from ablate.study.comparison import Comparison, from_plan, from_results
from ablate.study.pair import pair
from ablate.study.results import find
from ablate.study.series import COLUMNS, ROWS, curve, gradients
from ablate.study.sweep import Request, planned
from ablate.study.sweep_file import SweepFile
from ablate.study.variants import Variant
from ablate.training.history import SCHEMAS, _write

BATCH, NONE = {"norm": "batch"}, {"norm": "none"}


@pytest.fixture
def compared(tmp_path):
    """`compared(metric=…)`: what the test has simulated, compared."""
    return lambda **options: from_results(find([tmp_path / "runs"]), "runs", **options)


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
    assert comparison.factors == {"norm": ["batch", "none"], "optimizer.lr": [0.05, 0.3]}
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
    assert none.seeds("to do") == [0] and comparison.baseline.seeds("to do") == [7]
    assert any("Unequal seeds: norm=none is paired" in note for note in notes(comparison))
    assert any(note.startswith("8 of 10 runs have a result; 2 not run yet") for note in notes(comparison))


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


def test_a_metric_that_no_run_has_is_refused(run, compared):
    run(BATCH, 0, 0.9, history=False)
    with pytest.raises(InputError, match=r"no run has it\. They have test/acc, val/acc"):
        compared(metric="test/accuracy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cost": {"params": 1100}}, "+10.00% parameters"),
        ({"cost": {"macs": 40_000}}, "-20.00% multiply-adds"),
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


def test_a_value_that_changed_besides_the_choice_is_told(run, compared, tmp_path):
    run(BATCH, 0, 0.9, history=False)
    config = run(NONE, 0, 0.8, history=False) / "config.yaml"
    config.write_text(config.read_text().replace("conv_bias: false", "conv_bias: true"))
    assert labelled(compared(), "norm=none").confounds == ["also differs: conv_bias False → True"]


def test_of_two_runs_of_one_cell_the_finished_one_counts(run, compared):
    run(BATCH, 0, 0.9, history=False)
    run(BATCH, 0, None, history=False, status="interrupted", started="2027-01-01T00:00:00+00:00")
    baseline = compared().baseline
    assert baseline.values == {0: 0.9}
    assert len(baseline.entries) == 1 and "do not count" in baseline.confounds[0]


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
    assert compared().baseline.gradient_flow == {"vanishing": 2, "healthy": 1}
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
    first, second = answer(compared())
    assert first.startswith("norm matters most: norm=none instead of batch changes test/acc by −20.")
    assert "4 seeds" in first and "averaged over 2 combinations" in first
    assert second.startswith("For shortcut these runs can't tell")


def test_runs_that_cannot_tell_say_how_many_seeds_would(run, compared):
    for seed, (a, b) in enumerate(((0.90, 0.91), (0.92, 0.91), (0.91, 0.93))):
        run(BATCH, seed, a, history=False)
        run(NONE, seed, b, history=False)
    first, second = answer(compared())
    assert first.startswith("These runs can't tell whether any choice matters")
    assert "seeds would show it with 80% probability" in second
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


def test_curves_are_means_with_bands_and_lost_ones_apart(run, compared):
    run(BATCH, 0, 0.8, epochs=4)
    run(BATCH, 1, 0.9, epochs=4)
    run(BATCH, 2, 0.7, epochs=2, status="diverged", diverged_at=20)
    found = curve(compared().baseline.results, "val/acc")
    last = 1 - math.exp(-3)
    assert found.epochs.tolist() == [0, 1, 2, 3]
    assert (found.low[-1], found.mean[-1], found.high[-1]) == pytest.approx((0.8 * last, 0.85 * last, 0.9 * last))
    assert [len(xs) for xs, _ in found.lost] == [2]
    assert curve(compared().baseline.results, "test/nothing") is None


def write_norms(directory: Path, steps: int, layers: dict[str, float], value) -> None:
    """value(step, depth) for every step and layer; a row group for every 10 steps."""
    import pyarrow as pa

    schema = SCHEMAS["gradient_norms"]
    tables = []
    for first in range(0, steps, 10):
        rows = [(s, name, d, value(s, d)) for s in range(first, first + 10) for name, d in layers.items()]
        columns = dict(zip(("step", "layer", "depth", "norm"), zip(*rows, strict=True), strict=True))
        plain = {f.name: pa.array(columns[f.name]) if f.name in columns else pa.nulls(len(rows)) for f in schema}
        tables.append(pa.table(plain).cast(schema))
    _write(directory / "gradient_norms.parquet", tables, schema)


def test_gradients_are_geometric_means_on_a_shared_depth(run, compared):
    layers = {"stem.conv": 0.0, "stem.norm": 0.25, "stage1.block1.conv1": 0.5, "head.linear": 1.0}
    directory = run(BATCH, 0, 0.9, history=False)
    # A hundredth at the image, and a thousandth of that in the second half; what a norm layer has is left out.
    write_norms(directory, 200, layers, lambda s, d: 1e9 if d == 0.25 else 10 ** (2 * d - 2 - 3 * (s >= 100)))
    found = gradients(compared().baseline.results)
    assert found.map.shape == (ROWS, COLUMNS)
    assert found.depths.tolist() == [0, 0.5, 1]
    assert found.map[0, 0] == pytest.approx(-2) and found.map[-1, -1] == pytest.approx(-3)
    assert found.map[ROWS // 2, 0] == pytest.approx(-1)
    assert found.profile == pytest.approx([-2 - 1.5, -1 - 1.5, 0 - 1.5])


def test_a_long_training_is_sampled_evenly(run, compared, monkeypatch):
    monkeypatch.setattr("ablate.study.series.ROWS_READ", 200)
    directory = run(BATCH, 0, 0.9, history=False)
    write_norms(directory, 2000, {"stem.conv": 0.0, "head.linear": 1.0}, lambda s, d: 10 ** (s / 2000))
    found = gradients(compared().baseline.results)
    assert np.isfinite(found.map).all()
    assert (np.diff(found.map, axis=1) >= -1e-9).all()
    assert found.map[0, -1] - found.map[0, 0] == pytest.approx(1, abs=0.05)


def test_norms_that_are_not_finite_or_zero_are_no_colour(run, compared):
    directory = run(BATCH, 0, 0.9, history=False)
    write_norms(directory, 100, {"stem.conv": 0.0, "head.linear": 1.0}, lambda s, d: math.inf if s > 50 else d)
    found = gradients(compared().baseline.results)
    assert found.depths.tolist() == [1]
    assert np.isfinite(found.map).all()


def test_two_variants_side_by_side(run, compared, tmp_path):
    for norm in ("batch", "none"):
        for shortcut in ("zero_pad", "projection"):
            for seed in (0, 1):
                run({"norm": norm, "shortcut": shortcut}, seed, 0.9 - (norm == "none") / 5 + seed / 90, history=False)
    two = pair(find([tmp_path / "runs"]), "shortcut=projection", "shortcut=projection,norm=none", "test/acc")
    assert [variant.label for variant in two.comparison.variants] == ["norm=batch", "norm=none"]
    assert ("norm", "batch", "none") in two.configuration
    assert not any(key == "shortcut" for key, *_ in two.configuration)
    _, a, b = next(row for row in two.metrics if row[0] == "test/acc")
    assert (a.n, b.n) == (2, 2) and a.mean - b.mean == pytest.approx(0.2)


def test_two_runs_side_by_side(run, compared, tmp_path):
    first = run({"optimizer.lr": 0.1}, 0, 0.9, history=False)
    second = run({"optimizer.lr": 0.2}, 0, 0.8, history=False)
    results = find([tmp_path / "runs"])
    two = pair(results, first.name, str(second), "test/acc")
    assert two.configuration == [("optimizer.lr", 0.1, 0.2)]
    assert two.comparison.variants[1].difference.values == pytest.approx((-0.1,))
    for a, b, said in (
        (first.name, "nothing", "there is no such run"),
        (first.name, first.name, "are the same"),
        ("optimizer.lr=0.1", "optimizer.lr=7", "no run has optimizer.lr=7"),
        ("norm=none", "norm=batch", "norm is not a choice that varies here"),
        (first.name, "optimizer.lr=0.2", "two runs, or two variants"),
    ):
        with pytest.raises(InputError, match=said):
            pair(results, a, b, "test/acc")


SWEEP = """
description: Does it need
  its norm?
method: grid
metric: {name: val/acc, goal: maximize}
parameters:
  shortcut: {values: [projection, none]}
  norm: {values: [none, batch]}
  seed: {values: [3, 4]}
  trainer.max_epochs: {value: 2}
"""


@pytest.fixture
def planned_sweep(simulate, tmp_path):
    """`planned_sweep({(shortcut, norm, seed): accuracy}, metric=…)`: SWEEP's comparison with these runs finished."""

    register_resolvers()

    def compared(finished, content=SWEEP, **options):
        (tmp_path / "sweep.yaml").write_text(content)
        file = SweepFile.read(tmp_path / "sweep.yaml")
        request = Request.of([f"runs_dir={tmp_path / 'runs'}"])
        cells = planned(file, request, check_data=False)
        for cell in cells:
            key = tuple(cell.assignment[name] for name in ("shortcut", "norm", "seed"))
            if key in finished:
                typed = {name: cell.assignment[name] for name in ("shortcut", "norm")}
                simulate(tmp_path, typed, key[2], finished[key], history=False, directory=cell.directory)
                cell.look()
        return from_plan(cells, file, **options)

    return compared


def test_a_sweep_file_says_the_question_the_baseline_and_what_is_missing(planned_sweep):
    comparison = planned_sweep(
        {("projection", "none", 3): 0.8, ("projection", "none", 4): 0.9, ("none", "none", 3): 0.5}
    )
    assert comparison.question == "Does it need its norm?"
    assert comparison.factors == {"shortcut": ["projection", "none"], "norm": ["none", "batch"]}
    assert [variant.label for variant in comparison.variants] == [
        *("baseline", "norm=batch", "shortcut=none", "shortcut=none norm=batch")
    ]
    assert comparison.baseline.assignment == {"shortcut": "projection", "norm": "none"}
    none = labelled(comparison, "shortcut=none")
    assert (none.paired_seeds, none.seeds("to do")) == ((3,), [4])
    assert comparison.count("to do") == 5
    assert any(note.startswith("3 of 8 runs have a result; 5 not run yet") for note in notes(comparison))
    assert shlex.split(none.command([4]))[3:] == [
        *("shortcut=none", "norm=none", "trainer.max_epochs=2", none.entries[0].overrides[-1], "seed=4")
    ]


def test_a_cell_that_makes_no_sense_stays_in_the_report_with_its_reason(planned_sweep):
    comparison = planned_sweep({("projection", "none", 3): 0.8}, SWEEP.replace("[3, 4]", "[3, -1]"))
    assert comparison.baseline.seeds("invalid") == [-1]
    assert "must not be negative" in comparison.baseline.entries[0].reason
    assert any("4 refused as making no sense" in note for note in notes(comparison))


def test_cells_that_come_out_identical_are_one_and_said(planned_sweep):
    content = SWEEP.replace("trainer.max_epochs: {value: 2}", "tracking: {values: [offline, disabled]}")
    comparison = planned_sweep({("projection", "none", 3): 0.8}, content)
    assert [variant.label for variant in comparison.variants] == [
        *("baseline", "norm=batch", "shortcut=none", "shortcut=none norm=batch")
    ]
    assert any("come out identical" in warning for warning in comparison.baseline.confounds)


def test_the_files_goal_is_that_of_its_own_metric(planned_sweep):
    comparison = planned_sweep({}, SWEEP.replace("maximize", "minimize"), metric="val/acc", chosen={"norm": "batch"})
    assert comparison.goal == "minimize"
    assert comparison.baseline.assignment == {"shortcut": "projection", "norm": "batch"}


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
