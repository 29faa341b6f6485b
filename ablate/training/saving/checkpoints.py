"""Checkpoints from which a run goes on as if it had never stopped."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ablate.process.interrupt import Interrupted, LostError, OutOfTimeError, StopRequest
from ablate.training.module import classifier_of
from ablate.training.saving.staging import Staging

KEPT = 2
# Optimizer steps from one time that several processes ask each other for a signal to the next, which makes all wait.
ASKED_EVERY = 8
# What a process answers whose time is over, where others answer with the number of a signal: larger than all of those.
TIME_IS_OVER = 1000


class Checkpoints(Checkpoint):
    """Saves `step-<optimizer steps>.ckpt` after epochs, every n steps on request, and when asked to stop or out of
    time: at once in one process, within `ASKED_EVERY` steps in several.

    A file appears whole or not at all; the last two are kept. Beside Lightning's state (weights, optimizer,
    schedule, place in the data) it holds the random state, the seconds trained, and the best val/acc so far.
    Where a validation follows a step, a checkpoint is saved after it: a resumed run would leave it out.
    With `keep_best`, `best.pt` holds the weights of the validation with the best val/acc, the earliest of equals.

    max_seconds  of training from now on; None: no end. An interruption, not the end of the training
    staging      through which files are written and old ones go
    data         checksum of the data that the run is of
    before_save  called on every process before each save, so that the history holds every step of the checkpoint
    rows         how many rows the history holds by then, by kind: what must be there for the run to go on from here
    """

    def __init__(
        self,
        directory: Path,
        *,
        every_n_epochs: int,
        every_n_steps: int | None,
        keep_best: bool,
        max_seconds: float | None = None,
        staging: Staging,
        data: str,
        before_save: Callable[[pl.Trainer], None],
        rows: Callable[[], dict[str, int]],
        has_diverged: Callable[[], bool],
        stop: StopRequest,
    ) -> None:
        self.directory = directory
        self.every_n_epochs, self.every_n_steps, self.keep_best = every_n_epochs, every_n_steps, keep_best
        self.max_seconds = max_seconds
        self.staging, self.data = staging, data
        self.before_save, self.rows, self.has_diverged, self.stop = before_save, rows, has_diverged, stop
        self.best_acc = float("-inf")
        self.seconds_before = 0.0
        self._started = time.monotonic()
        self._saved_step = -1

    @property
    def seconds(self) -> float:
        """Seconds trained, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        rng = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            rng["cuda"] = torch.cuda.get_rng_state()
        return {
            "rng": rng,
            "seconds": self.seconds,
            "best_acc": self.best_acc,
            "rows": dict(self.rows()),
            "data": self.data,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds_before, self.best_acc = state["seconds"], state["best_acc"]
        self._rng = state["rng"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.listen()
        self._started = time.monotonic()
        if hasattr(self, "_rng"):  # not earlier: setting up has drawn numbers of its own
            torch.set_rng_state(self._rng["cpu"].cpu())
            if "cuda" in self._rng and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._rng["cuda"].cpu())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not _is_validated(trainer):
            self._after_step(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        acc = float(trainer.callback_metrics["val/acc"])
        if self.keep_best and acc > self.best_acc and not self.has_diverged():
            self.best_acc = acc
            if trainer.is_global_zero:
                weights = classifier_of(pl_module).network.state_dict()
                self.staging.replace(self.directory / "best.pt", lambda path: torch.save(weights, path))
        self._after_step(trainer)

    def _after_step(self, trainer: pl.Trainer) -> None:
        """Save, and stop, where that is due after the batch that has been trained."""
        if trainer.is_last_batch or (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # the epoch's own end saves; half an accumulated gradient is in no checkpoint
        if self.stop.lost:
            raise LostError(f"{self.directory.parent} has been taken over by another process.")
        due = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        asks = due or trainer.world_size == 1 or trainer.global_step % ASKED_EVERY == 0
        asked = self._asked_to_stop(trainer) if asks else None
        if asked or due:
            self._save(trainer)
        if asked:
            self._stop(trainer, asked)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.has_diverged():
            return
        asked = self._asked_to_stop(trainer)
        epoch = trainer.current_epoch + 1
        if asked or epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            self._save(trainer)
        trained = epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if asked and not (trained and asked == TIME_IS_OVER):
            self._stop(trainer, asked)

    def _asked_to_stop(self, trainer: pl.Trainer) -> int | None:
        """The signal that arrived at any of the processes, or TIME_IS_OVER at any."""
        is_over = self.max_seconds is not None and time.monotonic() - self._started >= self.max_seconds
        own = TIME_IS_OVER if is_over else self.stop.signum
        if trainer.world_size == 1:
            return own
        asked = torch.tensor(own or 0, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(asked, reduce_op="max")) or None

    def _stop(self, trainer: pl.Trainer, asked: int) -> None:
        if asked != TIME_IS_OVER:
            raise Interrupted(asked)
        raise OutOfTimeError(
            f"trainer.max_time is over after optimizer step {trainer.global_step}, in epoch {trainer.current_epoch + 1}"
            f" of {trainer.max_epochs}: the run has no result yet. Its state is saved: the same command goes on from"
            " there, with as much time again."
        )

    def _save(self, trainer: pl.Trainer) -> None:
        self.before_save(trainer)
        if self.has_diverged() or trainer.global_step == self._saved_step:
            return
        path = self.directory / f"step-{trainer.global_step:09d}.ckpt"
        if trainer.is_global_zero:
            self.staging.replace(path, trainer.save_checkpoint)
            for old in checkpoints(self.directory)[:-KEPT]:
                self.staging.remove(old)
        else:
            trainer.save_checkpoint(path)  # which takes all processes, and writes nothing here
        self._saved_step = trainer.global_step


def _is_validated(trainer: pl.Trainer) -> bool:
    """Whether a validation follows the batch that has just been trained, as Lightning decides it."""
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    loop, due = trainer.fit_loop, trainer.val_check_batch
    return due is not None and ((loop.total_batch_idx if every is None else loop.batch_idx) + 1) % due == 0


class PlainFiles(TorchCheckpointIO):
    """Writes a checkpoint where it is told to, and reads only tensors and plain values: no pickled code is run.

    Lightning's own writes by way of the folder for temporary files, which may lie elsewhere, be small, and keep what a
    killed process leaves.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if "://" in str(path) or storage_options is not None:  # a callback of the user's may save elsewhere
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        if Path(path).suffix != ".tmp":  # a staging folder's: once it is removed it must not be made again
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=True)


def checkpoints(directory: Path) -> list[Path]:
    """A run's checkpoints, the oldest first."""
    return sorted(directory.glob("step-*.ckpt"))


def step_of(checkpoint: Path) -> int:
    """The optimizer steps done when the checkpoint was saved."""
    return int(checkpoint.stem.split("-")[1])
