"""Whether a run must stop early: because of a signal, trainer.max_time, or another process that has taken it over."""

import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer

from ablate.process.interrupt import Interrupted, LostError, OutOfTimeError, StopRequest

# With several ranks, signals are exchanged every so many optimizer steps, because all must wait for it.
ASKED_EVERY = 8
# Stands for the end of trainer.max_time where otherwise a signal's number stands. Larger than all of those.
TIME_IS_OVER = 1000


class Stopping:
    """Asked after each step whether the run must stop.

    stop         remembers a signal that has arrived
    timer        measures the training time
    max_seconds  after this much training in this process the run is interrupted; None for no limit
    """

    def __init__(self, stop: StopRequest, timer: Timer, max_seconds: float | None = None) -> None:
        self.stop, self.timer, self.max_seconds = stop, timer, max_seconds

    def listen(self) -> None:
        """Install the signal handlers again, because Lightning replaces the one for SIGTERM."""
        self.stop.listen()

    def check_held(self, directory: Path) -> None:
        """Raise LostError if another process has taken the run in `directory` over."""
        if self.stop.lost:
            raise LostError(f"{directory} has been taken over by another process.")

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Whether to ask after this step: always with one rank, every ASKED_EVERY steps with several."""
        return trainer.world_size == 1 or trainer.global_step % ASKED_EVERY == 0

    def asked(self, trainer: pl.Trainer) -> int | None:
        """The signal that has arrived at any rank, or TIME_IS_OVER; None if the run need not stop."""
        own = TIME_IS_OVER if self._is_time_over() else self.stop.signum
        if trainer.world_size == 1:
            return own
        asked = torch.tensor(own or 0, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(asked, reduce_op="max")) or None

    def _is_time_over(self) -> bool:
        started = self.timer.start_time()
        if self.max_seconds is None or started is None:
            return False
        return time.monotonic() - started >= self.max_seconds  # of this process; earlier attempts do not count


def stop(trainer: pl.Trainer, asked: int) -> None:
    """End the run, whose state must be saved: raise Interrupted for a signal, OutOfTimeError for TIME_IS_OVER."""
    if asked != TIME_IS_OVER:
        raise Interrupted(asked)
    raise OutOfTimeError(
        f"trainer.max_time is over after optimizer step {trainer.global_step}, in epoch {trainer.current_epoch + 1}"
        f" of {trainer.max_epochs}. The run has no result yet, but its state is saved: the same command resumes it,"
        " for trainer.max_time again."
    )
