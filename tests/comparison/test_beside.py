"""Runs of other lengths beside those that are compared: kept apart, and said; and results that nobody asked for."""

import pytest

from ablate.errors import InputError

SWEEP = """\
method: grid
metric: {name: val_acc, goal: maximize}
parameters:
  norm: {values: [batch, none]}
  seed: {values: [0, 1]}
"""


@pytest.fixture
def pilot(run):
    """A pilot of five epochs, which was first, and three seeds of two variants with three."""
    run({"norm": "batch", "trainer.max_epochs": 5}, 0, 0.9, history=False, started="2020-01-01T00:00:00+00:00")
    for seed in range(3):
        for norm in ("batch", "none"):
            run({"norm": norm, "trainer.max_epochs": 3}, seed, 0.5 + 0.01 * seed, history=False)


def means(comparison):
    return {variant["label"]: (variant["n"], round(variant["mean"], 4)) for variant in comparison["variants"]}


def test_a_pilot_of_another_length_is_left_out_and_said(pilot, reported):
    comparison = reported("runs")
    assert comparison["factors"] == {"norm": ["batch", "none"]}
    assert means(comparison) == {"baseline": (3, 0.51), "norm=none": (3, 0.51)}
    assert comparison["notes"][0] == (
        "Compared are the 6 runs with trainer.max_epochs=3. Others are left out: 1 run with trainer.max_epochs=5"
        " (report runs trainer.max_epochs=5)."
    )
    only = reported("runs", "trainer.max_epochs=5")
    assert means(only) == {"baseline": (1, 0.9)} and only["source"] == "runs trainer.max_epochs=5"


def test_lengths_are_compared_where_nothing_else_is_or_where_they_are_asked_for(run, pilot, reported):
    both = reported("runs", "norm=batch")
    assert means(both) == {"baseline": (1, 0.9), "trainer.max_epochs=3": (3, 0.51)}
    asked = reported("runs", "--baseline", "trainer.max_epochs=3", "norm=batch")
    assert asked["factors"] == {"norm": ["batch", "none"], "trainer.max_epochs": [3, 5]}


def test_two_variants_are_compared_at_the_length_of_which_both_have_most_seeds(run, pilot, reported):
    run({"norm": "none", "trainer.max_epochs": 5}, 0, 0.1, history=False)
    comparison = reported("--compare", "norm=batch", "norm=none")
    assert means(comparison) == {"norm=batch": (3, 0.51), "norm=none": (3, 0.51)}
    assert comparison["notes"][0].startswith(
        "Compared are the 6 runs with trainer.max_epochs=3. Others are left out: 2"
    )
    with pytest.raises(InputError, match="no run has norm=layer"):
        reported("--compare", "norm=batch", "norm=layer")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("trainer.max_epochs=4", r"^trainer\.max_epochs=4: no run has it\. They have 5, 3\.$"),
        ("trainer.max_epoch=3", r"^trainer\.max_epoch=3: no run has it\. Did you mean trainer\.max_epochs\?"),
    ],
)
def test_a_choice_that_no_run_has_is_refused(pilot, reported, typed, said):
    with pytest.raises(InputError, match=said):
        reported("runs", typed)


def test_a_metric_that_no_run_has_is_refused_with_the_one_that_is_meant(pilot, reported):
    with pytest.raises(InputError, match=r"val_acc: no run has it\. Did you mean val/acc\? They have "):
        reported("runs", "--metric", "val_acc", "--goal", "maximize")


def test_results_of_the_files_cells_with_other_overrides_are_named_with_their_command(run, reported, tmp_path):
    (tmp_path / "ours.yaml").write_text(SWEEP)
    empty = reported("ours.yaml")
    assert empty["answer"] == ["No run has finished with a test/acc yet."]
    assert empty["notes"][0] == f"{tmp_path / 'runs'} has no runs."
    for seed in (0, 1):
        for norm in ("batch", "none"):
            run({"norm": norm, "trainer.max_epochs": 3}, seed, 0.5, history=False)
    run({"norm": "group", "trainer.max_epochs": 3}, 0, 0.5, history=False)  # not of the file's cells
    run({"norm": "none", "trainer.max_epochs": 2}, 1, None, status="failed", history=False)
    run({"norm": "none"}, 1, 0.5, history=False)  # nothing typed, as now: of another machine
    notes = reported("ours.yaml")["notes"]
    assert notes[0] == (
        "4 results exist with trainer.max_epochs=3: python -m ablate report ours.yaml trainer.max_epochs=3"
    )
    said = "1 result exists with nothing typed, of another machine or version"
    assert notes[1] == f"{said}: python -m ablate report {tmp_path / 'runs'}"
    assert notes[2].startswith(
        "metric val_acc: no run has it, unless a callback of yours logs it. Did you mean val/acc?"
    )


def test_a_try_with_another_recipe_is_pointed_out_with_how_to_leave_it_out(run, reported):
    for seed in range(4):
        for norm in ("batch", "none"):
            run({"norm": norm, "optimizer.lr": 0.1}, seed, 0.5 + 0.01 * seed, history=False)
    run({"norm": "batch", "optimizer.lr": 0.5}, 0, 0.9, history=False)
    said = "optimizer.lr=0.5 is in 1 run of one variant: if that was a try, report runs optimizer.lr=0.1 leaves it out."
    assert said in reported("runs")["notes"]
    alone = reported("runs", "optimizer.lr=0.1")
    assert alone["factors"] == {"norm": ["batch", "none"]} and not any("a try" in note for note in alone["notes"])
    for seed in range(1, 4):
        run({"norm": "batch", "optimizer.lr": 0.5}, seed, 0.9, history=False)
    assert not any("a try" in note for note in reported("runs")["notes"]), "as many seeds as others"
