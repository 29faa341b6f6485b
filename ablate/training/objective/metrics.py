"""Metrics of torchmetrics' as designs have them here. A mapping `metrics` may name any of theirs."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from ablate.errors import InputError


class MeanLoss(Metric):
    """The mean over images of the losses of batches, which are means themselves. As torchmetrics' MeanMetric, to the
    last digit, for a third of its time in a step."""

    mean_value: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("mean_value", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, images: int) -> None:
        self.mean_value += loss.to(self.dtype).repeat(images).sum()  # not a product, which is rounded otherwise
        self.weight += images

    def compute(self) -> Tensor:
        return self.mean_value / self.weight


class _Accuracy(MulticlassAccuracy):
    """Torchmetrics', which takes numbers for classes without a word. Counts only hits (tp) and misses (fn), which is
    all that an accuracy needs: a fifth of the time in a step."""

    tp: Tensor
    fn: Tensor

    def update(self, preds: Tensor, target: Tensor) -> None:
        if target.ndim != 1:
            raise InputError(
                "metrics=accuracy needs a class for each image. For numbers use metrics=regression, for several yes or"
                " no for each image metrics=multilabel."
            )
        if self.num_classes is not None and preds.shape[1] > self.num_classes:
            raise ValueError(f"{preds.shape[1]} scores for {self.num_classes} classes")
        # Among equal scores, topk(1) may choose another one than argmax.
        best = preds.argmax(1, keepdim=True) if self.top_k == 1 else preds.topk(self.top_k, dim=1).indices
        hits = (best == target.unsqueeze(1)).sum()
        # With top_k they are by class, and summed in the end: all that count are put down to the first.
        self.tp.view(-1)[0] += hits
        self.fn.view(-1)[0] += len(target) - hits


def accuracy(num_classes: int, top_k: int) -> Metric | None:
    """The share of images whose class is among the `top_k` highest scores; None where all classes are."""
    if top_k > 1 and num_classes <= top_k:
        return None
    return _Accuracy(num_classes, top_k=top_k, average="micro", validate_args=False)
