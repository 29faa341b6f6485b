"""What training shows on the terminal while it runs."""

import math
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

# Seconds without a line before one says how far a training is: the first one soon, so that one sees how long it takes.
FIRST, EVERY = 5.0, 15.0


def progress(bar: bool) -> Callback:
    """Lightning's rich progress bar on a terminal, if a `bar` is wanted; else one line per epoch, and one now and
    then within a long one."""
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


@dataclass(frozen=True)
class Within:
    """Where a training is: in epoch `number` of `of`, at `done` of `batches` (infinite, if that is not known) of
    `what`. `seconds`: what each of the latest took; None after the first one."""

    number: int
    of: int
    what: str
    done: int
    batches: float
    seconds: float | None

    def __str__(self) -> str:
        if not math.isfinite(self.batches):
            return f"epoch {self.number}/{self.of}  {self.what} {self.done:,}"
        if self.seconds is None:
            return f"epoch {self.number}/{self.of}  {self.what} {self.done:,}/{int(self.batches):,}"
        left = self.seconds * (self.batches - self.done)
        about = f"{left:.0f} s" if left < 100 else f"{left / 60:.0f} min"
        done = f"{self.what} {self.done:,}/{int(self.batches):,}"
        more = int(self.batches) - self.done  # of this epoch: neither its validation nor the next epochs
        return f"epoch {self.number}/{self.of}  {done}, the other {more:,} in about {about}"


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
    """Calls `show` with each epoch when it has ended, and between two of them, where that takes long, `tell` with what
    has been done of it. By default each prints a line.
    """

    def __init__(
        self,
        show: Callable[[Epoch], None] = lambda epoch: print(epoch, flush=True),
        tell: Callable[[Within], None] = lambda within: print(within, flush=True),
    ) -> None:
        self.show, self.tell = show, tell
        self._started = self._heard = 0.0
        self._trained = 0  # batches of this epoch in this process: not those before a resume
        self._looked = 0  # batches of this validation or test
        self._since = (0.0, 0)  # from when the pace is measured, and the batches that had passed then
        self._wait = FIRST

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()  # where a run resumes within an epoch, that has no start of its own

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_last(trainer)
        self._begin()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._show_last(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._trained += 1
        self._pass(trainer, "batch", batch_idx, trainer.num_training_batches, self._trained)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._looked = 0
        self._since = (time.monotonic(), 0)

    on_test_start = on_validation_start

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = (time.monotonic(), self._trained)  # where a training goes on within its epoch

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._looked += 1
        self._pass(trainer, "validation batch", batch_idx, trainer.num_val_batches[dataloader_idx], self._looked)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._looked += 1
        self._pass(trainer, "test batch", batch_idx, trainer.num_test_batches[dataloader_idx], self._looked)

    def _begin(self) -> None:
        self._started = self._heard = time.monotonic()
        self._trained = 0
        self._since = (self._started, 0)

    def _pass(self, trainer: pl.Trainer, what: str, index: int, of: float, here: int) -> None:
        """The batch of this index has passed, of so many; `here`: how many in this process. Tell it now and then.

        The pace is that of the batches since the last line, and never of the first batch, which also waits for workers
        and kernels: what else the machine does changes within an epoch.
        """
        now = time.monotonic()
        (since, before), is_first = self._since, here == 1
        if now - self._heard >= self._wait:
            self._heard, self._wait, self._since = now, EVERY, (now, here)
            if trainer.is_global_zero:
                epochs = int(trainer.max_epochs or 0)
                seconds = None if is_first else (now - since) / (here - before)
                self.tell(Within(min(trainer.current_epoch + 1, epochs), epochs, what, index + 1, of, seconds))
        elif is_first:
            self._since = (now, here)

    def _show_last(self, trainer: pl.Trainer) -> None:
        """Show the epoch that has ended, if there is one. Its last metrics are logged only after its end."""
        if not self._trained or not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        names = _shown(metrics)
        seconds = time.monotonic() - self._started
        self._trained = 0
        self.show(
            Epoch(
                trainer.current_epoch,
                int(trainer.max_epochs or 0),
                {name: float(metrics[name]) for name in names},
                seconds,
            )
        )
