"""The weights of the best epoch."""

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import nn

from ablate.errors import InputError
from ablate.training.objective.named import Monitor
from ablate.training.saving.staging import Staging


class BestWeights:
    """Keeps the weights of `network` at the validation that is best by `by` in `file`, the earliest of equals.

    score  the best so far: larger is better, so what is to be small has the other sign
    """

    def __init__(
        self, file: Path, network: nn.Module, by: Monitor, staging: Staging, has_diverged: Callable[[], bool]
    ) -> None:
        self.file, self.network, self.by, self.staging, self.has_diverged = file, network, by, staging, has_diverged
        self.score = float("-inf")

    def after_validation(self, trainer: pl.Trainer) -> None:
        """Raises InputError where the validation has not measured it."""
        measured = trainer.callback_metrics
        if self.by.name not in measured:
            names = ", ".join(sorted(str(name) for name in measured)) or "nothing"
            raise InputError(f"monitor={self.by.name}: the validation does not measure it. There are {names}.")
        score = self.by.sign * float(measured[self.by.name])
        if not score > self.score or self.has_diverged():  # one that is not a number is no better
            return
        self.score = score
        if trainer.is_global_zero:
            weights = self.network.state_dict()
            self.staging.replace(self.file, lambda path: torch.save(weights, path))
