"""The weights of the best epoch."""

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch

from ablate.training.module import classifier_of
from ablate.training.saving.staging import Staging


class BestWeights:
    """Keeps the weights of the validation with the best val/acc in `file`, the earliest of equals.

    acc  the best val/acc so far
    """

    def __init__(self, file: Path, staging: Staging, has_diverged: Callable[[], bool]) -> None:
        self.file, self.staging, self.has_diverged = file, staging, has_diverged
        self.acc = float("-inf")

    def after_validation(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        acc = float(trainer.callback_metrics["val/acc"])
        if not acc > self.acc or self.has_diverged():  # one that is not a number is no better
            return
        self.acc = acc
        if trainer.is_global_zero:
            weights = classifier_of(pl_module).network.state_dict()
            self.staging.replace(self.file, lambda path: torch.save(weights, path))
