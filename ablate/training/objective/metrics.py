"""Metrics of torchmetrics' as designs have them here. A mapping `metrics` may name any of theirs."""

from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy


def accuracy(num_classes: int, top_k: int) -> Metric | None:
    """The share of images whose class is among the `top_k` highest scores; None where all classes are."""
    if top_k > 1 and num_classes <= top_k:
        return None
    return MulticlassAccuracy(num_classes, top_k=top_k, average="micro", validate_args=False)
