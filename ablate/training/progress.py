"""What training shows on the terminal while it runs."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar


def progress(bar: bool) -> Callback:
    """Lightning's rich progress bar on a terminal, if a `bar` is wanted; else one line per epoch."""
    return Bar(refresh_rate=10, leave=False) if bar and sys.stdout and sys.stdout.isatty() else EpochLines()


class Bar(RichProgressBar):
    """Lightning's, which counts epochs from 1 to their number here, as the printed lines do; without the logger's
    version, which says nothing to anybody."""

    def _get_train_description(self, current_epoch: int) -> str:
        shown = f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"
        return shown.ljust(len(self.validation_description))  # lest the bars jump when that one comes

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended: its number of how many, its last metrics, its seconds."""

    number: int
    of: int
    metrics: dict[str, float]
    seconds: float

    def __str__(self) -> str:
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return f"epoch {self.number}/{self.of}  {numbers}  {self.seconds:.1f} s"


def _shown(metrics: Mapping[str, Any]) -> list[str]:
    """Of training and validation the loss and the accuracy; without an accuracy, the first of what else there is."""
    names = []
    for split in ("train", "val"):
        own = [name for name in metrics if name.startswith(f"{split}/") and not name.endswith(("/loss", "_step"))]
        best = [name for name in own if name == f"{split}/acc"] or own
        names += [*(name for name in metrics if name == f"{split}/loss"), *best[:1]]
    return names


class EpochLines(Callback):
    """Shows each epoch when it has ended: by default as one plain line."""

    def __init__(self, show: Callable[[Epoch], None] = lambda epoch: print(epoch, flush=True)) -> None:
        self.show = show
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_last(trainer)
        self._started = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_last(trainer)

    def _show_last(self, trainer: pl.Trainer) -> None:
        """The epoch that has ended, if one has: only now are all of its metrics there."""
        if self._started is None or not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        names = _shown(metrics)
        seconds = time.monotonic() - self._started
        self.show(
            Epoch(
                trainer.current_epoch,
                int(trainer.max_epochs or 0),
                {name: float(metrics[name]) for name in names},
                seconds,
            )
        )
