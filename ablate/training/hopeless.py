"""Ends a run early if it learns nothing: its gradient has vanished, or its accuracy is that of guessing."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ablate.statistics.splits import is_at_chance


@dataclass(frozen=True)
class Stopped:
    """Why a run was ended early (`reason`), and after how many optimizer steps (`step`) of how many (`of`)."""

    step: int
    of: int
    reason: str


class Hopeless(Callback):
    """After each validation, ends the training if it is hopeless. `stopped` is None until it does.

    share    nothing is ended before this share of all optimizer steps, since every run looks hopeless at first
    classes  the number of classes
    flow     returns the verdict on the gradient so far: vanishing, even, exploding or None. Rank 0's counts
    """

    def __init__(self, share: float, classes: int, flow: Callable[[], str | None]) -> None:
        self.share, self.classes, self.flow = share, classes, flow
        self.stopped: Stopped | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = trainer.estimated_stepping_batches
        if trainer.sanity_checking or not math.isfinite(total) or not self.share * total <= trainer.global_step < total:
            return
        reason = trainer.strategy.broadcast(self._reason(trainer))
        if reason:
            self.stopped = Stopped(trainer.global_step, int(total), reason)
            trainer.should_stop = True

    def _reason(self, trainer: pl.Trainer) -> str | None:
        accuracy = trainer.callback_metrics.get("val/acc")
        if accuracy is not None and is_at_chance(float(accuracy), 1 / self.classes):
            return f"val/acc of {100 * float(accuracy):.2f}% is that of guessing"
        return "the gradient has vanished" if self.flow() == "vanishing" else None
