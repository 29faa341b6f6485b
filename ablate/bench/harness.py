"""A training step of a run, with everything that it records, compared with a step of a loop written by hand.

The run is a real one, with W&B offline. The loop runs inside it: both take turns in a random order, and train the same
network on the same batches. A run's step lasts from the end of one batch to the end of the next. A round has as many
steps as the recorder collects before it writes, so it contains all work within an epoch. The work after an epoch is
part of `recipe`.
"""

import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from ablate.bench import images, paired
from ablate.bench.by_hand import Loop
from ablate.training.gradients.recorder import CAPACITY
from ablate.training.trainer import new_trainer

TITLE = "a training step through the harness / one of a loop by hand"
GOAL = "<= 1.02"
ROUNDS = 2
WARM_UP = 16  # steps that are not counted
LONG = 0.05  # seconds: on a GPU the goal applies to a step at least this long
# model, image size, batch size. The goal applies to the last one; on a GPU, to the first of LARGER whose step is LONG.
ON_CPU = (("resnet20", 8, 32), ("resnet20", 32, 128))
ON_GPU = (("resnet20", 32, 128),)
LARGER = (("resnet50", 224, 64), ("resnet50", 224, 128), ("resnet50", 224, 256), ("resnet152", 224, 256))
# Steps in a turn. A GPU works asynchronously, which hides part of a step's cost, so it is only waited for after a turn.
TURN = {"cpu": 1, "gpu": 16}


class Beside(Callback):
    """Lets a loop by hand take turns with the training. `seconds` has the time of each turn of both, in order."""

    def __init__(self, cfg: DictConfig, turns: int) -> None:
        self.cfg, self.clock, self.steps = cfg, paired.clock(cfg), TURN[cfg.trainer.accelerator]
        self.seconds: dict[str, list[float]] = {"harness": [], "by hand": []}
        shuffle = random.Random(0).shuffle
        self._turns: list[str] = []
        for _ in range(turns):
            both = list(self.seconds)
            shuffle(both)
            self._turns += both
        self._left = self.steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.loop = Loop(self.cfg, trainer)
        self._give_turns()

    def on_train_batch_end(self, *training: Any) -> None:
        self._left -= 1
        if self._left == 0 and self._turns:
            self._end(self._turns.pop(0))
            self._give_turns()

    def _give_turns(self) -> None:
        """Run the loop's turns, until it is the training's turn."""
        paired.wait()
        self._started = self.clock()
        while self._turns and self._turns[0] == "by hand":
            for _ in range(self.steps):
                self.loop.step()
            self._end(self._turns.pop(0))
        self._left = self.steps

    def _end(self, name: str) -> None:
        paired.wait()
        now = self.clock()
        self.seconds[name].append(now - self._started)
        self._started = now


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row for each network: a run's step divided by the loop's, by rounds of 64 steps."""
    on_gpu = paired.prepared(overrides, ["model=resnet20"]).cfg.trainer.accelerator == "gpu"
    *others, last = (*ON_GPU, _long(overrides)) if on_gpu else ON_CPU
    for network in others:
        yield _compare(overrides, *network, rounds or ROUNDS, goal="stated")
    yield _compare(overrides, *last, rounds or ROUNDS, goal=GOAL)


def _long(overrides: Sequence[str]) -> tuple[str, int, int]:
    """The first of the larger networks whose step is LONG, or the last."""
    for network in LARGER:
        cfg = paired.prepared(overrides, _chosen(*network, steps=8)).cfg
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(cfg, new_trainer(cfg, Path(folder), [], []))
        seconds = [paired.seconds(loop.step) for _ in range(8)]
        if sorted(seconds[3:])[2] >= LONG:
            break
    return network


def _chosen(model: str, size: int, batch: int, steps: int) -> list[str]:
    classes = 10 if size < 64 else 1000
    random = images.overrides("cifar10", steps * batch, test=batch, channels=3, size=size, classes=classes)
    shift = [] if size < 64 else ["data.shift=0"]  # shifted copies of large images would fill the GPU's memory
    return [f"model={model}", *random, f"data.batch_size={batch}", *shift, "trainer.max_epochs=1"]


def _compare(overrides: Sequence[str], model: str, size: int, batch: int, rounds: int, goal: str) -> dict[str, Any]:
    steps = rounds * CAPACITY + WARM_UP
    with tempfile.TemporaryDirectory() as folder:
        run = [f"runs_dir={folder}", "tracking=offline", "gradient_norms.pictures=false"]
        chosen = paired.prepared(overrides, [*_chosen(model, size, batch, steps), *run])
        beside = Beside(chosen.cfg, steps // TURN[chosen.cfg.trainer.accelerator])
        paired.trained(chosen, beside)
    per_round, warm = CAPACITY // beside.steps, WARM_UP // beside.steps
    harness, by_hand = (
        [sum(times[at : at + per_round]) for at in range(warm, len(times), per_round)]
        for times in beside.seconds.values()
    )
    return paired.row(
        f"{TITLE}: {model}, {size}x{size}, batch {batch}",
        goal,
        [a / b for a, b in zip(harness, by_hand, strict=True)],
        f"by hand {1000 * sum(by_hand) / (rounds * CAPACITY):.1f} ms; {paired.times(rounds)} of {CAPACITY} steps",
    )
