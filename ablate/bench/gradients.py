"""The cost of recording the gradients of every layer at every step: this project's way, Lightning's and W&B's.

All ways take turns within one training in one process, in a new random order each round, so that other programs slow
all of them equally. A step lasts from the batch's arrival until everything is recorded. With one thread on a CPU it is
measured in processor time, else in wall-clock time. The images are random.
"""

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
import wandb
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import grad_norm
from torch import nn
from torch.utils.data import DataLoader

from ablate.bench import paired
from ablate.training import build
from ablate.training.gradients.recorder import StepRecorder
from ablate.training.objective import named
from ablate.training.run import set_numerics
from ablate.training.saving.history import RunHistory

TITLE = "watching gradients: a step's time, relative to one that records nothing"
GOAL = "<= 1.02"  # of this project's ways
# model, image size, batch size, rounds
NETWORKS = (
    ("resnet20", 8, 32, 150),
    ("resnet20", 32, 128, 40),
    ("resnet56", 32, 128, 12),
    ("resnet110", 32, 128, 8),
)
WARM_UP = 2  # rounds that are not counted


class Watching(Callback):
    """One way to record gradients. Its hooks are called on the steps that are its turn."""

    def start(self, module: pl.LightningModule) -> None:
        """Called before its step; not timed."""

    def stop(self, module: pl.LightningModule) -> None:
        """Called after its step; not timed."""


class Ours(Watching):
    """`StepRecorder` without trackers. weights: also record weights and updates, at each of its steps."""

    def __init__(self, directory: Path, network: nn.Module, weights: bool) -> None:
        directory.mkdir()
        every = OmegaConf.create({"every_n_steps": 1, "weights_every_n_steps": int(weights), "series": "few"})
        self.recorder = StepRecorder(RunHistory(directory), None, network, every, 1)
        self.on_fit_start = self.recorder.on_fit_start  # type: ignore[method-assign]
        self.on_before_optimizer_step = self.recorder.on_before_optimizer_step  # type: ignore[method-assign]
        self.on_train_batch_end = self.recorder.on_train_batch_end  # type: ignore[method-assign]

    def flush_seconds(self, trainer: pl.Trainer, clock: Callable[[], float]) -> float:
        """The time per step of a flush and of writing the history, measured on the steps not yet flushed."""
        waiting = len(self.recorder._losses)
        start = clock()
        self.recorder.flush(trainer)
        self.recorder.history.save()
        return (clock() - start) / waiting


class Lightnings(Watching):
    """`self.log_dict(grad_norm(self, 2))`, as in Lightning's documentation."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: pl.LightningModule, optimizer: Any) -> None:
        pl_module.log_dict(grad_norm(pl_module, norm_type=2))


class WandbWatch(Watching):
    """`wandb.watch(log="gradients", log_freq=1)`, which logs a histogram of each parameter's gradient."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def start(self, module: pl.LightningModule) -> None:
        self.run.watch(module, log="gradients", log_freq=1)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.run.log({"trainer/global_step": trainer.global_step})  # without this the histograms are not logged

    def stop(self, module: pl.LightningModule) -> None:
        self.run.unwatch(module)


class TakingTurns(Callback):
    """Gives each step of a training to one of the `ways`, and times it. `seconds` has the times by way, in order."""

    def __init__(self, ways: dict[str, Watching], clock: Callable[[], float]) -> None:
        self.ways, self.clock = ways, clock
        self.seconds: dict[str, list[float]] = {name: [] for name in ways}
        self._order: list[str] = []
        self._shuffle = random.Random(0).shuffle

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for way in self.ways.values():
            way.on_fit_start(trainer, pl_module)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        if not self._order:
            self._order = list(self.ways)
            self._shuffle(self._order)
        self._name = self._order.pop()
        self.ways[self._name].start(pl_module)
        paired.wait()
        self._started = self.clock()

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.ways[self._name].on_before_optimizer_step(trainer, pl_module, optimizer)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *outputs: Any) -> None:
        way = self.ways[self._name]
        way.on_train_batch_end(trainer, pl_module, *outputs)
        paired.wait()
        self.seconds[self._name].append(self.clock() - self._started)
        way.stop(pl_module)


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row for each network, composed with the user's `overrides`. "rounds" has the seconds of every step.

    "nothing, ms" is the median time of a step that records nothing. The other columns are ratios to it, medians over
    the rounds. This project's include each step's share of a flush.

    Raises InputError for an override that would change a run's steps but not these.
    """
    for model, size, batch, usual in NETWORKS:
        yield _compare(overrides, model, size, batch, rounds or usual)


def _compare(overrides: Sequence[str], model: str, size: int, batch: int, rounds: int) -> dict[str, Any]:
    chosen = [f"model={model}", "data=cifar10", f"data.image_size={size}", f"data.batch_size={batch}"]
    cfg = paired.prepared(overrides, chosen).cfg
    set_numerics(cfg)
    network = build.initialised_network(cfg)
    images = torch.randn(batch, cfg.data.channels, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(batch) % cfg.data.num_classes
    if cfg.channels_last:
        images = images.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True, console="off"))
        ways: dict[str, Watching] = {
            "nothing": Watching(),
            "norms": Ours(Path(folder) / "norms", network, weights=False),
            "weights": Ours(Path(folder) / "weights", network, weights=True),
            "lightning": Lightnings(),
            "watch": WandbWatch(run),
        }
        clock = paired.clock(cfg)
        turns = TakingTurns(ways, clock)
        trainer = pl.Trainer(
            accelerator=cfg.trainer.accelerator,
            devices=1,
            precision=cfg.trainer.precision,
            max_epochs=1,
            logger=WandbLogger(experiment=run),
            log_every_n_steps=10,
            limit_val_batches=0,
            callbacks=[turns],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        steps: Any = [(images, labels)] * ((rounds + WARM_UP) * len(ways))
        trainer.fit(named.module(cfg, network), DataLoader(steps, batch_size=None))
        flush = {name: way.flush_seconds(trainer, clock) for name, way in ways.items() if isinstance(way, Ours)}
        run.finish()
    seconds = {name: times[WARM_UP:] for name, times in turns.seconds.items()}
    per_step = median(seconds["nothing"])

    def ratio(name: str) -> float:
        paired = median(a / b for a, b in zip(seconds[name], seconds["nothing"], strict=True))
        return paired + flush.get(name, 0.0) / per_step

    return {
        "goal": GOAL,
        "unit": "ratio",
        "rounds": seconds,
        "network": f"{model}, {size}x{size}, batch {batch}",
        "nothing, ms": 1000 * per_step,
        "gradient norms": ratio("norms"),
        "weights, updates too": ratio("weights"),
        "Lightning grad_norm": ratio("lightning"),
        "wandb.watch": ratio("watch"),
    }
