"""The training step of an image classifier, as a Lightning module."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

Batch = tuple[Tensor, Tensor]


def decayed_groups(network: nn.Module, weight_decay_on: str) -> list[dict[str, Any]]:
    """The optimizer's parameter groups for a choice of what weight decay touches.

    all      every parameter, as in the papers
    weights  no bias and no norm parameter
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
    """Cross-entropy training of `network` on (images, labels) batches.

    train/loss is the loss that is minimised, label smoothing included, averaged over the epoch as it went by;
    val/loss and test/loss are plain cross-entropies. All are means over images, whatever batches they came in.
    Accuracies are top-1, and `acc_top5` is top-5 where there are more than five classes. They are accumulated on the
    device and read once an epoch.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: int,
        label_smoothing: float,
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Callable[..., list[dict[str, Any]]],
        weight_decay_on: str,
    ) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing
        self.new_optimizer, self.new_schedule = optimizer, schedule
        self.weight_decay_on = weight_decay_on

        def metrics() -> MetricCollection:
            def accuracy(k: int) -> Metric:
                return MulticlassAccuracy(classes, top_k=k, average="micro", validate_args=False)

            parts: dict[str, Metric | MetricCollection] = {
                "loss": MeanMetric(nan_strategy="disable"),
                "acc": accuracy(1),
            }
            if classes > 5:
                parts["acc_top5"] = accuracy(5)
            return MetricCollection(parts, compute_groups=False)

        self.metrics = nn.ModuleDict({split: metrics() for split in ("train_", "val_", "test_")})
        # A checkpoint in the middle of an epoch holds what the epoch has counted so far.
        self._metrics("train_").persistent(True)

    def configure_optimizers(self) -> Any:
        optimizer = self.new_optimizer(decayed_groups(self.network, self.weight_decay_on))
        steps = int(self.trainer.estimated_stepping_batches)
        batches = int(self.trainer.num_training_batches)
        return [optimizer], self.new_schedule(optimizer, steps, batches)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """All processes' counts of the epoch so far take the place of those of the process that saves."""
        for name, metric in self._metrics("train_").items():
            with metric.sync_context():
                metric.state_dict(checkpoint["state_dict"], prefix=f"metrics.train_.{name}.")

    def on_train_start(self) -> None:
        if self.global_rank > 0:
            self._metrics("train_").reset()  # with what a checkpoint's processes have counted, the first one goes on

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """`loss`, which Lightning divides by accumulate_grad_batches, and `batch_loss`, the batch's own."""
        images, labels = batch
        scores = self.network(images).float()
        loss = F.cross_entropy(scores, labels, label_smoothing=self.label_smoothing)
        self._update("train_", scores.detach(), labels, loss.detach())
        return {"loss": self._share(loss, batch_idx), "batch_loss": loss.detach()}

    def _share(self, loss: Tensor, batch_idx: int) -> Tensor:
        """`loss` such that a step's gradient is the mean over its batches. The epoch's last step may have fewer than
        accumulate_grad_batches, and Lightning divides by that number all the same."""
        usual = self.trainer.accumulate_grad_batches
        left = self.trainer.num_training_batches - batch_idx // usual * usual
        return loss if left >= usual else loss * (usual / left)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val_", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("test_", batch)

    def on_train_epoch_end(self) -> None:
        # Straight to the loggers: what `self.log` takes here reaches them only after the epoch's checkpoint.
        values = self._compute("train_")
        for logger in self.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step=self.trainer.global_step - 1)
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})

    def on_validation_epoch_end(self) -> None:
        for name, value in self._compute("val_").items():
            self.log(name, value, prog_bar=name == "val/acc")  # a terminal's width has room for one

    def on_test_epoch_end(self) -> None:
        self.log_dict(self._compute("test_"))

    def _evaluate(self, split: str, batch: Batch) -> None:
        images, labels = batch
        scores = self.network(images).float()
        self._update(split, scores, labels, F.cross_entropy(scores, labels))

    def _update(self, split: str, scores: Tensor, labels: Tensor, loss: Tensor) -> None:
        for name, metric in self._metrics(split).items():
            if name == "loss":
                # Once per image: MeanMetric has no use for a weight where it does not look for NaN.
                metric.update(loss.expand(len(labels)))
            else:
                metric.update(scores, labels)

    def _compute(self, split: str) -> dict[str, float]:
        """The epoch's metrics as `train/loss`, over all processes; they start afresh."""
        metrics = self._metrics(split)
        values = {f"{split[:-1]}/{name}": float(value) for name, value in metrics.compute().items()}
        metrics.reset()
        return values

    def _metrics(self, split: str) -> MetricCollection:
        metrics = self.metrics[split]
        assert isinstance(metrics, MetricCollection)
        return metrics


def classifier_of(module: pl.LightningModule) -> Classifier:
    """The module as what it is here, for callbacks, which are given any Lightning module."""
    assert isinstance(module, Classifier)
    return module
