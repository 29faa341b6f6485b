"""The Lightning module that trains a network on images."""

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from ablate.training.objective.metrics import MeanLoss

Batch = tuple[Tensor, Tensor]


def decayed_groups(network: nn.Module, weight_decay_on: str) -> list[dict[str, Any]]:
    """The optimizer's parameter groups. `weight_decay_on` says which parameters decay:

    all      all of them, as in the papers
    weights  all but biases and the parameters of norms
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if weight_decay_on == "all":
        return [{"params": [p for _, p in named]}]
    exempt = {name for name, p in named if p.ndim <= 1 or name.endswith("bias")}
    return [
        {"params": [p for name, p in named if name not in exempt]},
        {"params": [p for name, p in named if name in exempt], "weight_decay": 0.0},
    ]


class Classifier(pl.LightningModule):
    """Trains `network` on batches (images, labels) with `loss`, and measures the loss and `metrics`.

    train/loss is the minimised loss, averaged over the epoch while the weights change. val/loss and test/loss are
    measured in evaluation mode, without label smoothing. All are means over images, whatever the batch sizes. Metrics
    are accumulated on the device and read once per epoch.

    loss       (float32 scores (batch, outputs), labels) -> mean over the batch
    metrics    torchmetrics by name, called with the same arguments
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        metrics: Mapping[str, Metric],
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Callable[..., list[dict[str, Any]]],
        weight_decay_on: str,
    ) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.new_optimizer, self.new_schedule = optimizer, schedule
        self.weight_decay_on = weight_decay_on
        self.shown = f"val/{next(iter(metrics), 'loss')}"  # on the progress bar, which has room for one

        def counted() -> MetricCollection:
            parts: dict[str, Metric | MetricCollection] = {"loss": MeanLoss()}
            parts |= {name: metric.clone() for name, metric in metrics.items()}
            return MetricCollection(parts, compute_groups=False)

        # `train_`, not `train`: that is a method of nn.ModuleDict.
        self.metrics = nn.ModuleDict({split: counted() for split in ("train_", "val_", "test_")})
        # A checkpoint in the middle of an epoch contains the epoch's metrics so far.
        self._metrics("train_").persistent(True)

    def configure_optimizers(self) -> Any:
        optimizer = self.new_optimizer(decayed_groups(self.network, self.weight_decay_on))
        steps = int(self.trainer.estimated_stepping_batches)
        batches = int(self.trainer.num_training_batches)
        return [optimizer], self.new_schedule(optimizer, steps, batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the epoch's metrics so far, summed over all ranks instead of those of the saving rank."""
        for name, metric in self._metrics("train_").items():
            with metric.sync_context():
                metric.state_dict(checkpoint["state_dict"], prefix=f"metrics.train_.{name}.")

    def on_train_start(self) -> None:
        if self.global_rank > 0:
            self._metrics("train_").reset()  # rank 0 has loaded the checkpoint's sums over all ranks

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `loss`, which Lightning divides by accumulate_grad_batches, and `batch_loss`, which it does not."""
        images, labels = batch
        scores = self.network(images).float()
        loss = self.loss(scores, labels)
        self._update("train_", scores.detach(), labels, loss.detach())
        return {"loss": self._share(loss, batch_idx), "batch_loss": loss.detach()}

    def _share(self, loss: Tensor, batch_idx: int) -> Tensor:
        """`loss`, scaled so that a step's gradient is the mean over its batches. An epoch's last step may have fewer
        than accumulate_grad_batches batches, but Lightning divides by that number anyway."""
        usual = self.trainer.accumulate_grad_batches
        left = self.trainer.num_training_batches - batch_idx // usual * usual
        return loss if left >= usual else loss * (usual / left)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val_", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("test_", batch)

    def on_train_epoch_end(self) -> None:
        # Directly to the loggers: values given to `self.log` here reach them only after the epoch's checkpoint.
        values = self._compute("train_")
        for logger in self.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step=self.trainer.global_step - 1)
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})

    def on_validation_epoch_end(self) -> None:
        for name, value in self._compute("val_").items():
            self.log(name, value, prog_bar=name == self.shown)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self._compute("test_"))

    def _evaluate(self, split: str, batch: Batch) -> None:
        images, labels = batch
        scores = self.network(images).float()
        self._update(split, scores, labels, self.loss(scores, labels))

    def _update(self, split: str, scores: Tensor, labels: Tensor, loss: Tensor) -> None:
        for name, metric in self._metrics(split).items():
            if name == "loss":
                metric.update(loss, len(labels))
            else:
                metric.update(scores, labels)

    def _compute(self, split: str) -> dict[str, float]:
        """The epoch's metrics over all ranks, named `train/loss` and so on; then reset them."""
        metrics = self._metrics(split)
        values = {f"{split[:-1]}/{name}": float(value) for name, value in metrics.compute().items()}
        metrics.reset()
        return values

    def _metrics(self, split: str) -> MetricCollection:
        metrics = self.metrics[split]
        assert isinstance(metrics, MetricCollection)
        return metrics
