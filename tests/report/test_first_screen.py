"""What the first screen is made of: question, how sure, the table's rows on one axis; figures that stand alone."""

import json
import math

import pytest

from ablate.api.comparing import compare
from ablate.comparison.series import step_curve
from ablate.errors import InputError
from ablate.report import main_table, page
from ablate.report.answering.sure import how_sure
from ablate.report.contents import contents
from ablate.report.drawing import paper, seeds
from ablate.report.drawing.figures import by_step, padded
from ablate.report.drawing.svg import Drawing
from ablate.report.numbers import unit
from ablate.report.tables import as_json
from tests.simulated_runs import PROVENANCE

ACCURACY = unit("test/acc")


def test_an_axis_has_round_ends_and_is_never_narrower_than_what_is_written():
    along = seeds.axis([0.10, 0.8632], ACCURACY, 1)
    assert (along.low, along.high) == (0.0, 1.0)
    assert [label for _, label in along.ticks()] == ["0", "20", "40", "60", "80", "100%"]
    assert along.place(0.5) == pytest.approx(50)
    narrow = seeds.axis([0.908333325, 0.908333340], ACCURACY, 1)
    assert narrow.high - narrow.low >= 0.002
    labels = [label for _, label in narrow.ticks()]
    assert len(set(labels)) == len(labels) and all(len(label) <= 6 for label in labels)
    low, high = padded([90.8333325, 90.8333340], ACCURACY)
    assert high - low == pytest.approx(0.1)


def test_a_row_has_a_dot_for_each_seed_and_a_cross_for_each_that_is_lost():
    along = seeds.axis([0.0, 1.0], ACCURACY, 1)
    drawn = seeds.row("a", {0: 0.25, 1: 0.75, 2: 0.7501}, {3: "diverged"}, 0.58, (0.2, 0.9), 0.5, along)
    dots = drawn.root.findall("circle")
    assert [dot.get("cx") for dot in dots] == ["26.00%", "74.00%", "74.01%"]  # 2% of room at both ends
    assert dots[1].get("cy") != dots[2].get("cy"), "those that would cover each other stand upon each other"
    assert drawn.root.get("aria-label") == "a: 58.00%, 1 of 4 lost"
    assert len([e for e in drawn.root.iter("path") if e.get("class") == "lost-line"]) == 1
    assert not [line for line in drawn.root.findall("line") if line.get("class") == "ink-line"], "no interval then"


def test_the_best_comes_first_and_choices_have_columns(run, compared):
    for shortcut, norm, value in (("zero_pad", "batch", 0.8), ("zero_pad", "none", 0.9), ("projection", "none", 0.7)):
        for seed in range(2):
            run({"shortcut": shortcut, "norm": norm}, seed, value + seed / 100, history=False)
    made = contents(compared())
    lines, _ = main_table.lines(made.comparison, made.rows)
    assert sorted(main_table.heads(made.comparison)) == ["norm", "shortcut"]
    assert [line["average"] for line in lines][:3] == ["90.5", "80.5", "70.5"]
    words = [{cell["word"]: cell["differs"] for cell in line["cells"]} for line in lines[:3]]
    assert words[0] == {"zero_pad": False, "none": True} and words[1] == {"zero_pad": False, "batch": False}
    assert words[2] == {"projection": True, "none": True}


def test_how_sure_names_seeds_tests_machines_and_what_is_missing(run, compared):
    other = {"hardware": PROVENANCE["hardware"] | {"cpu": "CPU B"}}
    for seed in range(4):
        run({"norm": "batch"}, seed, 0.9 + seed / 100, history=False)
        run({"norm": "none"}, seed, 0.8 + seed / 90, history=False, provenance=other if seed == 3 else None)
        run({"norm": "group"}, seed, 0.85 if seed else None, status="finished" if seed else "diverged", history=False)
    said = dict(reversed(pair) for pair in how_sure(compared()))
    assert said["4 paired seeds: few"] == "⚠" and said["p corrected for 2 tests (Holm)"] == "✓"
    assert said["one commit, one set of libraries, one data set"] == "✓" and said["2 machines"] == "⚠"
    assert said["1 of 4 runs of norm=group diverged: its mean is of the others"] == "⚠"


def test_a_question_ends_at_its_mark():
    assert page._question("Is norm needed? A source says so.") == ("Is norm needed?", "A source says so.")
    assert page._question("Comparison of runs") == ("Comparison of runs", "")


def test_a_stored_comparison_is_reported_again(run, compared, tmp_path):
    for seed in range(5):
        run({"norm": "batch"}, seed, 0.9 + seed / 100)
        run(
            {"norm": "none"},
            seed,
            None if seed == 4 else 0.8 + seed / 90,
            status="diverged" if seed == 4 else "finished",
        )
    first, again = tmp_path / "first", tmp_path / "again"
    compare(tmp_path / "runs").write(first)
    compare(first / "comparison.json").write(again)
    refused = (
        {"metric": "val/acc"},
        {"goal": "minimize"},
        {"baseline": {"norm": "none"}},
        {"overrides": ["norm=none"]},
    )
    for words in refused:
        with pytest.raises(InputError, match=r"holds the values of test/acc.* Report the runs themselves, there: "):
            compare(first / "comparison.json", **words)
    assert compare(first / "comparison.json", metric="test/acc", margin=0.5).comparison.margin == 0.005
    before, after = (json.loads((folder / "comparison.json").read_text()) for folder in (first, again))
    for key in ("answer", "made", "mixtures", "effects", "baseline", "why_baseline", "metric", "tests"):
        assert after[key] == before[key], key
    for ours, theirs in zip(after["variants"], before["variants"], strict=True):
        assert {
            key: ours[key] for key in ("label", "mean", "interval", "verdict", "difference", "cost", "command")
        } == {key: theirs[key] for key in ("label", "mean", "interval", "verdict", "difference", "cost", "command")}
    drawn = {path.name for path in (first / "figures").glob("*.svg")}
    assert drawn == {path.name for path in (again / "figures").glob("*.svg")} and "gradients_0.svg" in drawn
    for name in drawn:
        assert (again / "figures" / name).read_text() == (first / "figures" / name).read_text(), name
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(InputError, match=r"is no comparison\.json of a report"):
        compare(tmp_path / "other.json")
    assert as_json(contents(compared()))["why_baseline"]


def test_a_figure_stands_alone(run, compared, tmp_path):
    for seed in range(3):
        run({"norm": "batch"}, seed, 0.9 + seed / 100)
        run({"norm": "none"}, seed, 0.8 + seed / 90)
    compare(tmp_path / "runs").write(tmp_path / "report", pdf=True)
    figures = tmp_path / "report" / "figures"
    names = {path.stem for path in figures.glob("*.svg")}
    assert names == {path.stem for path in figures.glob("*.pdf")} and "curve_val_acc" in names
    curves = Drawing.read(figures / "curve_val_acc.svg")
    assert not curves.root.findall("g[@class='legend']"), "a page has its own"
    alone = paper.with_legend(curves, ["baseline", "norm=none"])
    words = [text.text for text in alone.root.findall("g[@class='legend']/text")]
    assert words == ["baseline", "norm=none"]
    assert str(alone) == (figures / "curve_val_acc.svg").read_text()
    written = (figures / "curve_val_acc.pdf").read_bytes()
    assert written.startswith(b"%PDF") and b"DejaVuSans" in written and written == paper.pdf(alone)
    # 3.35 inches of 72 points
    assert b"/MediaBox [ 0 0 241.2 " in written


def test_a_curve_by_step_is_smoothed_and_keeps_its_mean(run, compared):
    for seed in range(2):
        run({"norm": "batch"}, seed, 0.9, epochs=4, steps=100)
    found = step_curve(compared().baseline.results, "train/loss_step")
    assert len(found.steps) == 200 and found.steps[0] == pytest.approx(1.0) and found.steps[-1] == pytest.approx(399.0)
    # 2.3 exp(-step / 20) and noise of 0 to 0.05: the mean of steps 0 and 1, and the noise's mean at the end
    assert found.raw[0] == pytest.approx((2.3 + 2.3 * math.exp(-1 / 20)) / 2 + 0.025, abs=0.03)
    assert found.smooth[100:].mean() == pytest.approx(0.025, abs=0.005)
    assert found.smooth[100:].std() < found.raw[100:].std() / 2
    assert step_curve(compared().baseline.results, "test/nothing") is None
    drawn = str(by_step("train/loss", {0: found}, unit("train/loss")))
    assert "train/loss, smoothed" in drawn
    assert "test/acc %, smoothed" in str(by_step("test/acc", {0: found}, ACCURACY))
