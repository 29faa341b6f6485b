"""Whether a run is to stop before its training is over: a signal, the end of its time, another process that has it."""

import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer

from ablate.process.interrupt import Interrupted, LostError, OutOfTimeError, StopRequest

# Optimizer steps from one time that several processes ask each other for a signal to the next, which makes all wait.
ASKED_EVERY = 8
# What a process answers whose time is over, where others answer with the number of a signal: larger than all of those.
TIME_IS_OVER = 1000


class Stopping:
    """What may end a run early, asked after each step.

    timer        of the training
    max_seconds  of training from now on; None: no end. An interruption, not the end of the training
    """

    def __init__(self, stop: StopRequest, timer: Timer, max_seconds: float | None = None) -> None:
        self.stop, self.timer, self.max_seconds = stop, timer, max_seconds

    def listen(self) -> None:
        """Take the signals back from Lightning, which puts a handler of its own on SIGTERM."""
        self.stop.listen()

    def check_held(self, directory: Path) -> None:
        """Raise LostError where another process has taken the run in `directory` over."""
        if self.stop.lost:
            raise LostError(f"{directory} has been taken over by another process.")

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Whether to ask after this step: one process always, several every few steps."""
        return trainer.world_size == 1 or trainer.global_step % ASKED_EVERY == 0

    def asked(self, trainer: pl.Trainer) -> int | None:
        """The signal that has arrived at any of the processes, or TIME_IS_OVER at any; None where none has."""
        own = TIME_IS_OVER if self._is_time_over() else self.stop.signum
        if trainer.world_size == 1:
            return own
        asked = torch.tensor(own or 0, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(asked, reduce_op="max")) or None

    def _is_time_over(self) -> bool:
        started = self.timer.start_time()
        if self.max_seconds is None or started is None:
            return False
        return time.monotonic() - started >= self.max_seconds  # without what an earlier try has taken


def stop(trainer: pl.Trainer, asked: int) -> None:
    """End the run, whose state is saved: raise Interrupted for a signal, OutOfTimeError for the end of its time."""
    if asked != TIME_IS_OVER:
        raise Interrupted(asked)
    raise OutOfTimeError(
        f"trainer.max_time is over after optimizer step {trainer.global_step}, in epoch {trainer.current_epoch + 1}"
        f" of {trainer.max_epochs}: the run has no result yet. Its state is saved: the same command resumes it"
        " there, with as much time again."
    )
