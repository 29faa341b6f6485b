"""Hydra's launchers driven from this project's code: its own, which runs cells in this process."""

import json
import signal
from pathlib import Path

import pytest

from ablate.errors import InputError
from ablate.study.engines import launchers
from ablate.training.interrupt import Interrupted
from ablate.training.recorder import StepRecorder
from tests.conftest import SMALL

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
