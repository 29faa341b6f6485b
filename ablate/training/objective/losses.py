"""What is minimised: each loss takes scores (batch, outputs) and labels, and returns the mean over the batch.

A module that behaves otherwise in training, as label smoothing does, asks `self.training`: validation and test are
evaluated with it switched off.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.errors import InputError


class CrossEntropy(nn.Module):
    """Of classes (batch,), with label smoothing in training alone."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        _check_classes(labels, "cross_entropy")
        return F.cross_entropy(scores, labels, label_smoothing=self.label_smoothing if self.training else 0.0)


class Focal(nn.Module):
    """-(1 - p)^gamma log p of the probability p of the class (batch,): what is easy counts less (Lin et al. 2017,
    arXiv 1708.02002, equation 4; with softmax for its sigmoid). gamma 0 is the cross-entropy."""

    def __init__(self, gamma: float) -> None:
        super().__init__()
        if gamma < 0:
            raise InputError(f"loss.gamma={gamma}: it must not be negative.")
        self.gamma = gamma

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        _check_classes(labels, "focal")
        cross_entropy = F.cross_entropy(scores, labels, reduction="none")
        return ((-torch.expm1(-cross_entropy)).clamp_min(0) ** self.gamma * cross_entropy).mean()


class BinaryCrossEntropy(nn.Module):
    """Of targets between 0 and 1 (batch, outputs), each output a yes or no of its own: several labels an image."""

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        _check_targets(scores, labels, "bce")
        return F.binary_cross_entropy_with_logits(scores, labels)


class SquaredError(nn.Module):
    """The mean over the batch and its targets (batch, outputs)."""

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        _check_targets(scores, labels, "mse")
        return F.mse_loss(scores, labels)


def _check_classes(labels: Tensor, name: str) -> None:
    if labels.ndim != 1 or labels.is_floating_point():
        raise InputError(
            f"loss={name} needs a class for each image, N whole numbers; these labels are {_shown(labels)}. loss=mse"
            " takes numbers, loss=bce several yes or no for each image."
        )


def _check_targets(scores: Tensor, labels: Tensor, name: str) -> None:
    if labels.shape != scores.shape or not labels.is_floating_point():
        raise InputError(
            f"loss={name} needs N x {scores.shape[1]} targets, as many as the network has outputs"
            f" (data.num_classes={scores.shape[1]}); these labels are {_shown(labels)}."
        )


def _shown(labels: Tensor) -> str:
    columns = "".join(f" x {size}" for size in labels.shape[1:])
    return f"N{columns} of type {str(labels.dtype).removeprefix('torch.')}"
