"""A sweep file's comparison, and two variants or runs side by side. 10 s, of which the sweep files take nearly all."""

import shlex

import pytest

from ablate.comparison.comparison import Comparison
from ablate.comparison.gathering import from_plan
from ablate.comparison.pair import pair
from ablate.comparison.results import find
from ablate.comparison.variants import Variant
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.report.notes import notes
from ablate.sweep.execution import Request, planned
from ablate.sweep.file import SweepFile


def labelled(comparison: Comparison, label: str) -> Variant:
    return next(variant for variant in comparison.variants if variant.label == label)


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
        *("shortcut=none", "norm=none", "trainer.max_epochs=2", *none.entries[0].overrides[-2:], "seed=4")
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


def test_a_diverged_run_of_which_a_file_is_damaged_is_still_lost(simulate, tmp_path):
    register_resolvers()
    (tmp_path / "lost.yaml").write_text(
        "{method: grid, parameters: {norm: {values: [batch, none]}, seed: {values: [0, 1, 2, 3, 4, 5]}}}"
    )
    file = SweepFile.read(tmp_path / "lost.yaml")
    cells = planned(file, Request.of([f"runs_dir={tmp_path / 'runs'}"]), check_data=False)
    gone = {"metrics.parquet": {"bytes": 1, "sha256": ""}}
    for cell in cells:
        norm, seed = cell.assignment["norm"], cell.assignment["seed"]
        lost = norm == "none" and seed < 2
        kept = {"status": "diverged", "files": gone} if lost else {}
        value = None if lost else 0.8 + seed / 100 + (norm == "none") / 10
        simulate(tmp_path, {"norm": norm}, seed, value, history=False, directory=cell.directory, **kept)
        cell.look()
    assert [cell.status for cell in cells].count("damaged") == 2
    none = labelled(from_plan(cells, file), "norm=none")
    assert none.seeds("diverged") == [0, 1] and none.test.lost == (2, 0)
    assert none.test.verdict(none.p_holm) == "undecided"
