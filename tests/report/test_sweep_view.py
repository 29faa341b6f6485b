"""What a sweep shows on the terminal: a mark for each seed while it runs, and its answer at the end."""

import io

import pytest
from rich.console import Console

from ablate.configuration.resolvers import register_resolvers
from ablate.report.terminal import ending, sweep_view
from ablate.report.terminal.seed_rows import SeedRows
from ablate.runs import record
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from ablate.training.progress import Epoch, Within

SWEEP = """
method: grid
metric: {name: val/acc, goal: maximize}
parameters:
  norm: {values: [batch, none]}
  seed: {values: [0, 1, 2, 3]}
  trainer: {value: cpu}
"""


@pytest.fixture
def swept(tmp_path, simulate):
    """`swept(left)`: the file and its cells, all with a result but for the last `left` of norm=none."""

    def made(left):
        register_resolvers()
        (tmp_path / "sweep.yaml").write_text(SWEEP)
        file, typed = SweepFile.read(tmp_path / "sweep.yaml"), [f"runs_dir={tmp_path / 'runs'}"]
        for cell in plan(file, typed, costs=False):
            norm, seed = cell.assignment["norm"], cell.assignment["seed"]
            if norm == "none" and seed >= 4 - left:
                continue
            value = (0.9 if norm == "batch" else 0.5) + seed**2 / 1000
            simulate(tmp_path / "runs", {"norm": norm}, seed, value, directory=cell.directory, history=False)
        return file, plan(file, typed, costs=False)

    return made


def drawn(renderable):
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(renderable)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_each_variant_has_a_row_with_a_mark_for_each_seed_and_the_best_mean(swept):
    file, cells = swept(2)
    running = [cell for cell in cells if cell.assignment == cells[-2].assignment]
    rows = drawn(SeedRows(file, cells).table({cell.directory for cell in running}))
    # What runs comes first. The mean of 0.5 and 0.501; of 0.9, 0.901, 0.904 and 0.909.
    assert rows == ["norm=none ●●◐○ val/acc 50.05%", "norm=batch ●●●● val/acc 90.35%, best so far"]
    assert drawn(SeedRows(file, cells).table(set(), 1)) == ["norm=batch ●●●● val/acc 90.35%, best so far", "and 1 more"]


def test_a_short_terminal_keeps_the_bars(swept, monkeypatch):
    file, cells = swept(2)
    shown = {}
    for height in (3, 40):
        monkeypatch.setenv("LINES", str(height))
        view = sweep_view.SweepView(file, cells)
        view.started(cells[-1])
        shown[height] = drawn(view._progress.get_renderable())
    assert not any("norm=batch" in line for line in shown[3]) and any(line.startswith("sweep") for line in shown[3])
    assert "norm=none ●●○◐ val/acc 50.05%" in shown[40]


def test_a_sweep_ends_with_its_answer_and_the_command_that_shows_the_rest(swept, capsys):
    file, cells = swept(0)
    ending.show(file, cells, ["my sweeps/s.yaml", "runs_dir=r"])
    answer, command = capsys.readouterr().out.strip().splitlines()
    assert "norm" in answer and "points" in answer
    assert command == "The report: python -m ablate report 'my sweeps/s.yaml' runs_dir=r"


def test_there_is_no_answer_as_long_as_cells_are_left(swept, capsys):
    file, cells = swept(1)
    ending.show(file, cells, ["s.yaml"])
    assert capsys.readouterr().out.strip() == "The report: python -m ablate report s.yaml"
    for cell in cells:
        cell.status, cell.record = "to do", None
    ending.show(file, cells, ["s.yaml"])
    assert capsys.readouterr().out == ""


def test_a_multirun_ends_so_too(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for few in (1, 8):  # four runs, then more than a command would name
        made = [
            run({"norm": norm}, seed, (0.9 if norm == "batch" else 0.5) + seed**2 / 1000, note=few, history=False)
            for norm in ("batch", "none")
            for seed in range(2 * few)
        ]
        ending.show_runs([(path, record.read(path)) for path in made])
        answer, command = capsys.readouterr().out.strip().splitlines()
        assert "norm" in answer
        named = " ".join(f"runs/{path.name}" for path in made) if few == 1 else "runs"
        assert command == f"The report: python -m ablate report {named}"


def test_a_small_curve_of_the_metric_where_there_is_room(swept):
    file, cells = swept(2)
    rows = SeedRows(file, cells)
    for epoch, (batch, none) in enumerate(((0.1, 0.1), (0.5, 0.1), (0.9, 0.1)), 1):
        rows.saw(cells[0], epoch, batch)
        rows.saw(cells[1], epoch, batch)
        rows.saw(cells[-1], epoch, none)
    wide = drawn(rows.table(set(), width=80))
    assert wide == ["norm=batch ●●●● ▁▅█ val/acc 90.35%, best so far", "norm=none ●●○○ ▁▁▁ val/acc 50.05%"]
    assert not any("▁" in line for line in drawn(rows.table(set(), width=40)))


def test_what_a_diverged_run_had_last_is_no_place_in_the_table(swept, capsys):
    file, cells = swept(0)
    best = max(cells, key=lambda cell: cell.record.metrics["val/acc"])
    best.status = "diverged"
    sweep_view.show_result(file, cells, ["s.yaml"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("batch", "none"))]
    assert len(rows) == 8 and "diverged" in rows[-1] and not any("diverged" in row for row in rows[:-1])


def test_an_interrupted_run_is_not_counted_as_done(swept, capsys):
    file, cells = swept(2)
    view = sweep_view.SweepView(file, cells)
    for cell, status in zip(cells[:3], ("interrupted", "finished", "interrupted"), strict=True):
        cell.status = status
        view.started(cell)
        view.ended(cell)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("not done  norm=batch seed=0  interrupted")
    assert second.startswith("1/8  norm=batch seed=1  finished") and third.startswith("not done  norm=batch seed=2")


def test_without_bars_a_run_that_is_under_way_is_told_of_now_and_then(swept, monkeypatch, capsys):
    file, cells = swept(2)
    now = [0.0]
    monkeypatch.setattr(sweep_view.time, "monotonic", lambda: now[0])
    view = sweep_view.SweepView(file, cells)
    view.started(cells[-1])
    for now[0], batch in ((5.0, 4), (16.0, 12), (20.0, 15), (40.0, 30)):
        view.within(cells[-1], Within(1, 12, "batch", batch, 60, 1.5))
    now[0] = 60.0
    view.epoch(cells[-1], Epoch(1, 12, {"val/acc": 0.5}, 60.0))
    assert capsys.readouterr().out.splitlines() == [
        "0/8  norm=none seed=3  epoch 1/12  batch 12/60, the other 48 in about 72 s",
        "0/8  norm=none seed=3  epoch 1/12  batch 30/60, the other 30 in about 45 s",
        "0/8  norm=none seed=3  epoch 1/12  val/acc 50.00%",
    ]
