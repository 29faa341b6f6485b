"""What training shows on the terminal while it runs."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import (
    BatchesProcessedColumn,
    CustomTimeColumn,
    ProcessingSpeedColumn,
)
from rich.progress import Task
from rich.table import Column
from rich.text import Text

from ablate.training.goal import is_accuracy


def progress(bar: bool) -> Callback:
    """Lightning's rich progress bar on a terminal, if a `bar` is wanted; else one line per epoch."""
    return Bar(refresh_rate=10, leave=False) if bar and sys.stdout and sys.stdout.isatty() else EpochLines()


class Bar(RichProgressBar):
    """Lightning's progress bar, but it counts epochs from 1 and writes metrics as the printed lines do, says that the
    other number is of batches, and does not show the logger's version."""

    def configure_columns(self, trainer: pl.Trainer) -> list[Any]:
        own: dict[type, Any] = {
            BatchesProcessedColumn: _Batches,
            CustomTimeColumn: _Time,
            ProcessingSpeedColumn: _Speed,
        }
        columns = super().configure_columns(trainer)
        return [own[type(column)](column.style) if type(column) in own else column for column in columns]

    def _get_train_description(self, current_epoch: int) -> str:
        shown = f"Epoch {current_epoch + 1}/{self.trainer.max_epochs}"
        return shown.ljust(len(self.validation_description))  # so that the bars do not move when validation starts

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        known = {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}
        return {
            name: written(name, value) if is_accuracy(name) and isinstance(value, float) else value
            for name, value in known.items()
        }


class _OnOneLine:
    """Where the terminal is narrow, the bar itself gets shorter."""

    def get_table_column(self) -> Column:
        return Column(no_wrap=True)


class _Batches(_OnOneLine, BatchesProcessedColumn):
    def render(self, task: Task) -> Text:
        return Text("batch ", style=self.style) + super().render(task)


class _Time(_OnOneLine, CustomTimeColumn):
    pass


class _Speed(_OnOneLine, ProcessingSpeedColumn):
    pass


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended: `number` counts from 1; `of` is the number of epochs; its last metrics; its seconds."""

    number: int
    of: int
    metrics: dict[str, float]
    seconds: float

    def __str__(self) -> str:
        numbers = "  ".join(f"{name} {written(name, value)}" for name, value in self.metrics.items())
        return f"epoch {self.number}/{self.of}  {numbers}  {self.seconds:.1f} s"


def written(metric: str, value: float) -> str:
    """As a report writes it: accuracies in percent."""
    return f"{100 * value:.2f}%" if is_accuracy(metric) else f"{value:.4f}"


def _shown(metrics: Mapping[str, Any]) -> list[str]:
    """The names to show for training and validation: the loss and the accuracy, or else the first other metric."""
    names = []
    for split in ("train", "val"):
        own = [name for name in metrics if name.startswith(f"{split}/") and not name.endswith(("/loss", "_step"))]
        best = [name for name in own if name == f"{split}/acc"] or own
        names += [*(name for name in metrics if name == f"{split}/loss"), *best[:1]]
    return names


class EpochLines(Callback):
    """Calls `show` with each epoch when it has ended. By default that prints one line."""

    def __init__(self, show: Callable[[Epoch], None] = lambda epoch: print(epoch, flush=True)) -> None:
        self.show = show
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_last(trainer)
        self._started = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_last(trainer)

    def _show_last(self, trainer: pl.Trainer) -> None:
        """Show the epoch that has ended, if there is one. Its last metrics are logged only after its end."""
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
