"""The tables of plan, sweep and report on narrow terminals: fewer columns, whole words."""

import re

import pytest

from ablate.report import tables
from ablate.report.contents import contents
from ablate.report.terminal import plan_table, sweep_view
from ablate.runs.record import RunRecord
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import PlannedCell

WORDS = {
    40: ["optimizer.lr norm val/acc", "0.1 batch 91.30%", "0.01 none failed"],
    60: [
        "optimizer.lr norm val/acc test/acc run",
        "0.1 batch 91.30% 90.20% 0123456789ab",
        "0.01 none failed ba9876543210",
    ],
    100: ["optimizer.lr norm val/acc test/acc parameters training run"],
}


@pytest.fixture
def swept(tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "sweep.yaml").write_text(
        "method: grid\nmetric: {name: val/acc, goal: maximize}\nparameters: {norm: {values: [batch, none]}}\n"
    )
    record = RunRecord(summary={"val/acc": 0.913, "test/acc": 0.902}, cost={"seconds": 17.3})
    cells = [
        PlannedCell({"optimizer.lr": 0.1, "norm": "batch"}, [], params=272474, macs=41_000_000, seconds=17.3),
        PlannedCell(
            {"optimizer.lr": 0.01, "norm": "none"}, ["norm=none"], params=270000, macs=41_000_000, reason="broke"
        ),
    ]
    cells[0].status, cells[0].record, cells[0].fingerprint = "finished", record, "0123456789ab"
    cells[1].status, cells[1].fingerprint = "failed", "ba9876543210"
    return SweepFile.read(tmp_path / "sweep.yaml"), cells


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


def test_sentences_break_between_words_on_a_terminal_and_are_one_line_elsewhere(swept, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "50")
    swept[1][0].macs = 90_000_000
    numbers = "parameters from 270k to 272.5k (+0.916%) and in multiply-adds from 41M to 90M (2.2 times)"
    for forced in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", forced)
        plan_table.show(*swept, as_json=False, every=False)
        shown = lines(capsys.readouterr().out)
        start = next(i for i, line in enumerate(shown) if line.startswith("The cells differ"))
        found = shown[start : start + (3 if forced else 1)]
        assert " ".join(found) == f"The cells differ in {numbers}." and all(len(line) <= 50 for line in found) == bool(
            forced
        )


@pytest.mark.parametrize("columns", WORDS)
def test_a_sweeps_table_leaves_out_columns_and_cuts_no_word(swept, monkeypatch, capsys, columns):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    sweep_view.show_result(*swept, ["sweep.yaml"])
    out = capsys.readouterr().out
    assert "…" not in out
    for line in WORDS[columns]:
        assert line in lines(out), lines(out)


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        (32, "optimizer.lr norm status"),
        (42, "optimizer.lr norm status training"),
        (60, "optimizer.lr norm status parameters training"),
        (80, "optimizer.lr norm status parameters multiply-adds training"),
    ],
)
def test_a_plans_table_too(swept, monkeypatch, capsys, columns, head):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    plan_table.show(*swept, as_json=False, every=False)
    out = capsys.readouterr().out
    assert "…" not in out and head in lines(out), lines(out)


def test_a_reports_table_breaks_between_words_and_leaves_out_what_has_no_room(run, compared, monkeypatch, capsys):
    for seed in range(3):
        for shortcut in ("zero_pad", "projection"):
            for norm in ("batch", "none"):
                value = 0.6 + 0.01 * seed * (norm == "batch") + 0.1 * (shortcut == "projection")
                run({"shortcut": shortcut, "norm": norm}, seed, value, history=False, gradient_flow="even")
    run({"shortcut": "projection", "norm": "none"}, 3, None, status="failed", history=False)
    made = contents(compared())
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns, has_room in ((80, False), (200, True)):
        monkeypatch.setenv("COLUMNS", str(columns))
        tables.show(made, "index.html")
        shown = lines(capsys.readouterr().out)
        (head,) = [line for line in shown if line.startswith("variant ")]
        assert "difference, 95% CI" in head and "verdict" in head and "failed" in head and "diverged" not in head
        assert ("gradient flow" in head) == has_room
        words = {word for line in shown for word in line.split()}
        assert {"baseline:", "shortcut=zero_pad", "shortcut=projection", "norm=none", "verdict"} <= words


def test_an_interval_stands_below_its_difference_where_labels_would_be_cut(run, compared, monkeypatch, capsys):
    name = "a_value_with_quite_a_long_name_of_its_own"
    for seed in range(3):
        run({"norm": "batch"}, seed, 0.6 + 0.01 * seed**2, history=False)
        run({"norm": "none", "tracking.name": name, "note": name}, seed, 0.5 + 0.02 * seed, history=False)
    made = contents(compared())
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns, is_below in ((80, True), (140, False)):
        monkeypatch.setenv("COLUMNS", str(columns))
        tables.show(made, "index.html")
        out = capsys.readouterr().out
        assert any(f"note={name}" in line for line in lines(out)), "whole"
        assert any(line.startswith("variant") and "difference, 95% CI" in line for line in lines(out)) != is_below
        (change,) = [line for line in lines(out) if "−9.67" in line]
        assert (" to " in change) != is_below


def test_long_values_are_broken_between_words_and_numbers_are_not(swept, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    file, cells = swept
    for cell in cells:
        cell.assignment["norm"] = cell.assignment["norm"] + " with many words after it"
    sweep_view.show_result(file, cells, ["sweep.yaml"])
    out = capsys.readouterr().out
    assert "91.30%" in out and "…" not in out
