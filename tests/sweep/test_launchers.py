"""Hydra's launchers driven from this project's code: its own, which runs cells in this process."""

import json
import signal
from pathlib import Path

import pytest

from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.sweep import execution as sweep
from ablate.sweep.engines import launchers
from ablate.sweep.file import SweepFile
from ablate.training.gradients.recorder import StepRecorder
from tests.conftest import SMALL

QUICK = Path(__file__).parents[2] / "sweeps" / "quick.yaml"
CELL = [*SMALL, "trainer.max_epochs=2"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, its name one that Hydra's grammar would take apart."""
    (tmp_path / "mine, all=mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine, all=mine")
    return tmp_path / "mine, all=mine"


def statuses(folder: Path) -> dict[str, str]:
    records = [json.loads(path.read_text()) for path in folder.glob("runs/*/run.json")]
    return {record["name"].split()[-1]: record["status"] for record in records}


def test_every_cell_is_run_whatever_becomes_of_the_others(folder, capsys):
    launchers.launch(
        [[*CELL, "norm=none"], [*CELL, "stem=conv7x7_pool", "transition=max_pool"], [*CELL, "seed=1"]],
        ["hydra/launcher=basic"],
    )
    assert statuses(folder) == {"norm=none": "finished", "seed=1": "finished"}
    assert "too small" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["runs"]


def test_an_interruption_ends_the_sweep(folder, monkeypatch):
    monkeypatch.setattr(StepRecorder, "on_before_optimizer_step", lambda *_: signal.raise_signal(signal.SIGUSR1))
    with pytest.raises(Interrupted):
        launchers.launch([[*CELL, "norm=none"], [*CELL, "seed=1"]], ["hydra/launcher=basic"])
    assert statuses(folder) == {"norm=none": "interrupted"}


def test_a_launcher_that_is_not_installed_names_its_extra(folder):
    with pytest.raises(InputError, match=r"ablate-resnet\[ray\]"):
        launchers.launch([CELL], ["hydra/launcher=ray"])
    assert list(folder.iterdir()) == []


def test_cells_for_gpus_are_planned_where_there_are_none(monkeypatch):
    monkeypatch.setattr("ablate.training.settings._gpus", lambda: 0)
    file = SweepFile.read(QUICK)
    gpu = ["trainer=gpu", "trainer.precision=bf16-mixed"]
    cells = sweep.planned(file, sweep.Request.of([*gpu, "hydra/launcher=slurm"]), check_data=False)
    assert {cell.status for cell in cells} == {"to do"}
    assert {cell.values["trainer"]["accelerator"] for cell in cells} == {"gpu"}
    refused = sweep.planned(file, sweep.Request.of([*gpu, "hydra/launcher=slurm", "+trainer.nmae=1"]), check_data=False)
    assert {cell.status for cell in refused} == {"invalid"}
