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
    """Keeps in `file` the weights of `network` at the best validation so far, judged by `by`. Of equals, the first
    wins.

    score  the best value so far, with its sign changed if less is better: larger is always better
    """

    def __init__(
        self, file: Path, network: nn.Module, by: Monitor, staging: Staging, has_ended: Callable[[], bool]
    ) -> None:
        self.file, self.network, self.by, self.staging, self.has_ended = file, network, by, staging, has_ended
        self.score = float("-inf")

    def after_validation(self, trainer: pl.Trainer) -> None:
        """Save the weights if this validation is the best. Raises InputError if it has not measured `by`."""
        measured = trainer.callback_metrics
        if self.by.name not in measured:
            names = ", ".join(sorted(str(name) for name in measured)) or "nothing"
            raise InputError(f"monitor={self.by.name}: the validation does not measure it. It measures {names}.")
        score = self.by.sign * float(measured[self.by.name])
        if not score > self.score or self.has_ended():  # `not >`, because NaN is not better
            return
        self.score = score
        if trainer.is_global_zero:
            weights = self.network.state_dict()
            self.staging.replace(self.file, lambda path: torch.save(weights, path))
