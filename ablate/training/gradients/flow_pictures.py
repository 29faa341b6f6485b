"""Draws a run's pictures of its gradients while it trains and at its end."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ablate.training.gradients.pictures import COLUMNS, DPI, heat_maps, rms_by_step
from ablate.training.gradients.reading import read
from ablate.training.saving.history import RunHistory
from ablate.training.saving.trackers import Trackers

SHARE = 0.02  # of the training time may be spent on pictures before the end


class FlowPictures(Callback):
    """Draws the pictures at the run's end, and at the ends of epochs as often as `SHARE` of the time allows.

    They are saved in <run>/gradient_flow, and logged to trackers as `gradient_flow/<picture>`.

    write_history  called before drawing, so that the history's files contain every step
    """

    def __init__(self, history: RunHistory, trackers: Trackers, write_history: Callable[[pl.Trainer], None]) -> None:
        self.history, self.trackers, self.write_history = history, trackers, write_history
        self._seconds, self._drawn = 1.0, monotonic()  # how long the last drawing took, and when it ended

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and monotonic() - self._drawn > self._seconds / SHARE:
            self.write_history(trainer)
            self.draw(self.history.parts_of("gradient_norms"), trainer.global_step, "so far")

    def draw(self, files: Sequence[Path], step: int, title: str) -> None:
        """Draw the gradients in `files`, if there are any. `step` is the current optimizer step."""
        start = monotonic()
        gradients = read(files, COLUMNS)
        if gradients is not None:
            figures = {"heat_map": heat_maps({title: gradients}), "rms_by_step": rms_by_step(gradients)}
            directory, staging = self.history.directory / "gradient_flow", self.history.staging
            staging.make(directory)
            paths = {name: directory / f"{name}.png" for name in figures}
            for name, figure in figures.items():
                staging.replace(paths[name], partial(figure.savefig, dpi=DPI, format="png"))
            self.trackers.log_pictures({f"gradient_flow/{name}": path for name, path in paths.items()}, step)
        self._drawn = monotonic()
        self._seconds = self._drawn - start
