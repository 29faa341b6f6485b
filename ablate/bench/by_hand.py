"""A configuration's recipe as a plain training loop: no metrics, no record, no callbacks."""

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor

from ablate.errors import InputError
from ablate.training import build
from ablate.training.assembly import part
from ablate.training.module import decayed_groups
from ablate.training.objective import named
from ablate.training.run import set_numerics


class Loop:
    """A training loop with the network, images, optimizer and schedule of `cfg`, on the trainer's device.

    step() trains on the next batch. `losses` has the loss of every step, on the device. Batches and losses are those of
    a run with the same seed.

    Raises InputError for a precision that needs a loss scaler.
    """

    def __init__(self, cfg: DictConfig, trainer: pl.Trainer) -> None:
        if cfg.trainer.precision not in ("32-true", "bf16-mixed"):
            raise InputError(f"trainer.precision={cfg.trainer.precision}: the bench knows 32-true and bf16-mixed.")
        set_numerics(cfg)
        self.device = trainer.strategy.root_device
        self.low = cfg.trainer.precision == "bf16-mixed"
        self.label_smoothing = cfg.label_smoothing
        self.data = build.images(cfg)
        self.data.trainer = trainer
        self.data.setup("fit")
        loader = self.data.train_dataloader()
        self.batches: Iterator[tuple[Tensor, Tensor]] = iter(loader)
        self.network = build.initialised_network(cfg).to(self.device)
        self.optimizer = part(cfg.optimizer)(decayed_groups(self.network, cfg.weight_decay_on))
        configs = named.schedule(cfg)(self.optimizer, cfg.trainer.max_epochs * len(loader), len(loader))
        self.schedulers = [config["scheduler"] for config in configs]
        self.losses: list[Tensor] = []

    def fetch(self) -> tuple[Tensor, Tensor]:
        """The next batch: gathered, augmented, normalised."""
        images, labels = next(self.batches)
        batch = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        return self.data.on_after_batch_transfer(batch, 0)

    def train(self, images: Tensor, labels: Tensor) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.low):
            scores = self.network(images).float()
            loss = F.cross_entropy(scores, labels, label_smoothing=self.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for scheduler in self.schedulers:
            scheduler.step()
        self.losses.append(loss.detach())

    def step(self) -> None:
        self.train(*self.fetch())
