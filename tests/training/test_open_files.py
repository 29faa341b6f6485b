"""What a user's callback writes to a file that it never closes is in that file when the command has ended."""

from pathlib import Path

import yaml

from tests.sweep.sweeping import FIXED, ablate, write_sweep

MINE = """
import os, time
import pytorch_lightning as pl

KEPT = []  # alive to the end; the callback's own file is in a cycle with the trainer

class Writes(pl.Callback):
    def on_train_start(self, trainer, module):
        self.trainer, self.stem = trainer, f"of-{os.getpid()}-{time.time_ns()}"
        self.file = open(self.stem + "-own.txt", "w")
        KEPT.append(open(self.stem + "-kept.txt", "w"))

    def on_train_end(self, trainer, module):
        for file in (self.file, KEPT[-1]):
            file.write("last line")
"""
WATCHERS = [{"_target_": "mine.Writes"}]


def written(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("of-*.txt"))]


def test_after_runs_one_after_the_other(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    fixed = [
        f"{key}={str(value).replace(' ', '').lower()}" for key, value in (FIXED | {"trainer.max_epochs": 1}).items()
    ]
    done = ablate(tmp_path, "-m", "seed=0,1", "watchers=[{_target_:mine.Writes}]", *fixed)
    assert done.returncode == 0, done.stderr
    assert written(tmp_path) == ["last line"] * 4


def test_after_a_sweep_in_worker_processes(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    path = write_sweep(tmp_path / "sweep.yaml", seed=[0, 1], trainer__max_epochs=1)
    sweep = yaml.safe_load(path.read_text())
    sweep["parameters"]["watchers"] = {"value": WATCHERS}
    path.write_text(yaml.safe_dump(sweep))
    done = ablate(tmp_path, "sweep", "sweep.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    assert written(tmp_path) == ["last line"] * 4
