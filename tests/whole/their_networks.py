"""Networks as users write them."""

import random

import torch
from torch import Tensor, nn


class Perceptron(nn.Module):
    """Two layers; nothing of this project's in them."""

    def __init__(self, pixels: int, classes: int, width: int = 16, scale: float = 1.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(pixels, width)
        self.out = nn.Linear(width, classes)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(self.scale * x.view(len(x), -1))))


class Mixed(nn.Module):
    """A convolution, the norm that it is given as a factory, a linear layer, and a parameter of its own."""

    def __init__(self, channels: int, size: int, classes: int, norm, activation=nn.ReLU) -> None:
        super().__init__()
        self.head = nn.Linear(8 * size * size, classes)  # registered first, run last
        self.conv = nn.Conv2d(channels, 8, 3, padding=1)
        self.norm = norm(8)
        self.shift = nn.Parameter(torch.randn(8, 1, 1))
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.norm(self.conv(x)) + self.shift).flatten(1))


class Noisy(Perceptron):
    """Its scores depend on who else draws."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.1 * torch.randn_like(x))


class Rolling(Perceptron):
    """Draws from Python's generator, which no seed of a run and no checkpoint covers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (0.5 + random.random() if self.training else 1.0)


class Dead(Perceptron):
    """Has a layer that nothing reads."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__(pixels, classes)
        self.forgotten = nn.Linear(3, 3)


class Bare(nn.Module):
    """Computes, and learns nothing."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : self.classes]


class Frozen(Perceptron):
    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__(pixels, classes)
        self.requires_grad_(False)


class Detached(Perceptron):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Lazy(nn.Module):
    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


class Misspelt(Perceptron):
    def forward(self, x: Tensor) -> Tensor:
        return self.outt(torch.relu(self.hidden(x.flatten(1))))


class Unbuildable(Perceptron):
    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__(pixels, clases)  # noqa: F821
