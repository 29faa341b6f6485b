"""Checkpoints from which a run resumes as if it had never stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, Timer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ablate.training.saving.best import BestWeights
from ablate.training.saving.staging import Staging
from ablate.training.saving.stopping import TIME_IS_OVER, Stopping, stop

KEPT = 2


class Checkpoints(Checkpoint):
    """Saves `step-<optimizer steps>.ckpt` after epochs, every n steps if configured, and when the run must stop: at
    once with one process, within `stopping.ASKED_EVERY` steps with several.

    A file appears whole or not at all. The last two are kept. Besides Lightning's state (weights, optimizer, schedule,
    position in the data) a file contains the random state, the training time and the best validation so far. If a
    validation follows a step, the checkpoint is saved after it, because a resumed run would skip that validation.

    timer        measures the training time; a resumed run continues from the stored time
    stopping     decides whether the run must stop early
    best         keeps the best epoch's weights; None if they are not needed
    staging      writes and removes the files
    data         checksum of the data
    before_save  called on every rank before each save, so that the history contains every step of the checkpoint
    rows         the numbers of rows in the history by kind, which must be there to resume from the checkpoint
    has_ended    whether the run has diverged or was ended as hopeless: then nothing more is saved
    """

    def __init__(
        self,
        directory: Path,
        *,
        every_n_epochs: int,
        every_n_steps: int | None,
        timer: Timer,
        stopping: Stopping,
        best: BestWeights | None,
        staging: Staging,
        data: str,
        before_save: Callable[[pl.Trainer], None],
        rows: Callable[[], dict[str, int]],
        has_ended: Callable[[], bool],
    ) -> None:
        self.directory = directory
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.timer, self.stopping, self.best = timer, stopping, best
        self.staging, self.data = staging, data
        self.before_save, self.rows, self.has_ended = before_save, rows, has_ended
        self._saved_step = -1

    def state_dict(self) -> dict[str, Any]:
        rng = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            rng["cuda"] = torch.cuda.get_rng_state()
        return {
            "rng": rng,
            "seconds": self.timer.time_elapsed(),
            "best_acc": self.best.score if self.best else float("-inf"),  # older versions had only accuracy
            "rows": dict(self.rows()),
            "data": self.data,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Lightning does not load the timer as a callback: the user may add another Timer, and older checkpoints have
        # the time here.
        self.timer.load_state_dict({"time_elapsed": {"train": state["seconds"]}})
        if self.best:
            self.best.score = state["best_acc"]
        self._rng = state["rng"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stopping.listen()
        self.timer.on_train_start(trainer, pl_module)
        if hasattr(self, "_rng"):  # not earlier, because Lightning's setup draws random numbers
            torch.set_rng_state(self._rng["cpu"].cpu())
            if "cuda" in self._rng and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._rng["cuda"].cpu())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.timer.on_train_end(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not _is_validated(trainer):
            self._after_step(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.best:
            self.best.after_validation(trainer)
        self._after_step(trainer)

    def _after_step(self, trainer: pl.Trainer) -> None:
        """After a batch: save a checkpoint, and stop the run, if that is due."""
        if trainer.is_last_batch or (trainer.fit_loop.batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # the epoch's end saves; and checkpoints do not contain partly accumulated gradients
        self.stopping.check_held(self.directory.parent)
        due = self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0
        asked = self.stopping.asked(trainer) if due or self.stopping.is_due(trainer) else None
        if asked or due:
            self._save(trainer)
        if asked:
            stop(trainer, asked)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.has_ended():
            return
        asked = self.stopping.asked(trainer)
        epoch = trainer.current_epoch + 1
        if asked or epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            self._save(trainer)
        trained = epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if asked and not (trained and asked == TIME_IS_OVER):
            stop(trainer, asked)

    def _save(self, trainer: pl.Trainer) -> None:
        self.before_save(trainer)
        if self.has_ended() or trainer.global_step == self._saved_step:
            return
        path = self.directory / f"step-{trainer.global_step:09d}.ckpt"
        if trainer.is_global_zero:
            self.staging.replace(path, trainer.save_checkpoint)
            for old in checkpoints(self.directory)[:-KEPT]:
                self.staging.remove(old)
        else:
            trainer.save_checkpoint(path)  # all ranks must call it; only rank 0 writes
        self._saved_step = trainer.global_step


def _is_validated(trainer: pl.Trainer) -> bool:
    """Whether a validation follows the last batch. Mirrors Lightning's own decision."""
    every, loop, due = trainer.check_val_every_n_epoch, trainer.fit_loop, trainer.val_check_batch
    if due is None or ((loop.total_batch_idx if every is None else loop.batch_idx) + 1) % due:
        return False
    return trainer.enable_validation and (every is None or (trainer.current_epoch + 1) % every == 0)


class PlainFiles(TorchCheckpointIO):
    """Writes a checkpoint directly to its path, and reads only tensors and plain values: no pickled code is run.

    Lightning's own class writes to the folder for temporary files first. That may be on another disk, be small, and
    fill up with files of killed processes.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if "://" in str(path) or storage_options is not None:  # a user's callback may save to remote storage
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        if Path(path).suffix != ".tmp":  # that is in a staging folder, which must not be created again once removed
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=True)


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(directory.glob("step-*.ckpt"))


def step_of(checkpoint: Path) -> int:
    """The optimizer steps done when the checkpoint was saved."""
    return int(checkpoint.stem.split("-")[1])
