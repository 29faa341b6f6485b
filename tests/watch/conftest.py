"""A sweep of two variants with four seeds each, at a moment that a test chooses."""

import math
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ablate.configuration.resolvers import register_resolvers
from ablate.runs.lease import claimed
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from ablate.training.gradients.layers import MATRIX, Layer
from ablate.training.saving.history import RunHistory
from ablate.watch.ending import Report
from ablate.watch.server import serving
from ablate.watch.state import Watched
from ablate.watch.study import OfFile

EVIL = "<img src=x onerror=alert(1)>"
SWEEP = """
description: Does it need its norm?
method: grid
metric: {name: val/acc, goal: maximize}
parameters:
  norm: {values: [batch, none]}
  seed: {values: [0, 1, 2, 3]}
  trainer.max_epochs: {value: 4}
  trainer: {value: cpu}
"""
LAYERS = ("stem.conv", "stage1.block1.conv1", "head.linear")


class Store:
    """The sweep's folder. `cells[variant, seed]` are its planned cells; nothing has been run at first."""

    def __init__(self, folder: Path, simulate, held: ExitStack) -> None:
        register_resolvers()
        self.path = folder / "sweep.yaml"
        self.path.write_text(SWEEP)
        self.runs, self._simulate, self._held = folder / "runs", simulate, held
        self.typed = [f"runs_dir={self.runs}"]
        self.file = SweepFile.read(self.path)
        self.planned = plan(self.file, self.typed, costs=False)
        self.cells = {(cell.assignment["norm"], cell.assignment["seed"]): cell for cell in self.planned}

    def end(self, norm: str, seed: int, value: float | None, **changes) -> Path:
        directory = self.cells[norm, seed].directory
        return self._simulate(self.runs, {"norm": norm}, seed, value, directory=directory, **changes)

    def begin(self, norm: str, seed: int, epochs: int, holds: bool = True) -> Path:
        """A run that goes on, so many epochs of 10 steps later."""
        self.end(norm, seed, None, status="running", history=False, ended=None)
        if holds:
            self._held.enter_context(claimed(self.cells[norm, seed].directory, lambda: None))
        self.train(norm, seed, range(epochs))
        return self.cells[norm, seed].directory

    def train(self, norm: str, seed: int, epochs: range) -> None:
        """Each epoch's accuracy is a tenth of its number, its loss falls from 2."""
        depths = [0.0, 0.5, 1.0]
        layers = [Layer(*both, 100, MATRIX) for both in zip(LAYERS, depths, strict=True)]
        history = RunHistory(self.cells[norm, seed].directory, layers=layers)
        for epoch in epochs:
            steps = range(10 * epoch, 10 * epoch + 10)
            for step in steps:
                history.log_metrics({"train/loss_step": 2 * math.exp(-step / 20), "epoch": epoch}, step)
            history.log_metrics({"val/acc": (epoch + 1) / 10, "epoch": epoch}, steps[-1])
            norms = np.full((10, 3), 0.1)
            history.log_gradient_norms(list(steps), LAYERS, depths, norms, {"rms": np.ma.array(norms)})
            history.save()

    @property
    def study(self) -> OfFile:
        return OfFile(self.file, self.planned)

    def served(self, **how):
        report = Report([str(self.path), *self.typed])
        return serving(Watched(self.study), report, port=0, **how)


@pytest.fixture
def store(tmp_path, simulate):
    with ExitStack() as held:
        yield Store(tmp_path, simulate, held)


@pytest.fixture
def halfway(store):
    """Finished, diverged, failed, running, interrupted and to do, with a hostile error."""
    store.end("batch", 0, 0.91)
    store.end("batch", 1, 0.93)
    store.begin("batch", 2, 2)
    store.end("none", 0, 0.85)
    store.end("none", 1, None, status="diverged", diverged_at=7)
    store.end("none", 2, None, status="failed", error=f"Traceback\n  File x\nRuntimeError: {EVIL}")
    store.begin("none", 3, 1, holds=False)
    return store
