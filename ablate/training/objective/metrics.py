"""Metrics of torchmetrics' as designs have them here. A mapping `metrics` may name any of theirs."""

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from ablate.errors import InputError


class _Accuracy(MulticlassAccuracy):
    """Torchmetrics', which takes numbers for classes without a word."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        if target.ndim != 1:
            raise InputError(
                "metrics=accuracy needs a class for each image. For numbers use metrics=regression, for several yes or"
                " no for each image metrics=multilabel."
            )
        super().update(preds, target)


def accuracy(num_classes: int, top_k: int) -> Metric | None:
    """The share of images whose class is among the `top_k` highest scores; None where all classes are."""
    if top_k > 1 and num_classes <= top_k:
        return None
    return _Accuracy(num_classes, top_k=top_k, average="micro", validate_args=False)
