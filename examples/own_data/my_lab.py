"""A table as data, a network for it, and a loss."""

from itertools import pairwise

import torch
from sklearn.datasets import load_diabetes
from torch import nn


def diabetes():
    """442 patients: ten numbers each, as images of one pixel with ten channels, and how far the disease has come."""
    table = load_diabetes()
    progress = (table.target - table.target.mean()) / table.target.std()
    return {"images": table.data.astype("float32").reshape(-1, 10, 1, 1), "labels": progress, "files": []}


class Perceptron(nn.Module):
    """Layers of `width` numbers. Images (batch, in_channels, 1, 1) become scores (batch, num_classes)."""

    def __init__(self, in_channels, num_classes, width, depth):
        super().__init__()
        sizes = [in_channels, *[width] * depth]
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.layers(x.flatten(1)))


class Pinball(nn.Module):
    """The loss of a quantile: 0.5 is the median, half the absolute error."""

    def __init__(self, quantile):
        super().__init__()
        self.quantile = quantile

    def forward(self, scores, labels):
        error = labels - scores
        return torch.maximum(self.quantile * error, (self.quantile - 1) * error).mean()
