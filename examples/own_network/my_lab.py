"""A small vision transformer (arXiv 2010.11929), as anyone would write it: nothing of ablate."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """One block: attention and a perceptron, a norm before each, a shortcut around each."""

    def __init__(self, dim: int, heads: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(dim), norm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.perceptron = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        h = normalised(self.norm1, x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.perceptron(normalised(self.norm2, x))


class TinyViT(nn.Module):
    """Class scores (batch, num_classes) for images (batch, in_channels, image_size, image_size).

    norm  channels -> module, for maps (batch, channels, height, width): what an option of the axis `norm` stands for
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        norm: Callable[[int], nn.Module],
        patch: int = 2,
        dim: int = 32,
        depth: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(in_channels, dim, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn((image_size // patch) ** 2, dim))
        self.blocks = nn.Sequential(*(Encoder(dim, heads, norm) for _ in range(depth)))
        self.norm = norm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).mT + self.position
        return self.head(normalised(self.norm, self.blocks(x)).mean(dim=1))


def normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """The norm, made for maps, over tokens (batch, tokens, dim): each image is a map of one row."""
    return norm(x.mT.unsqueeze(2)).squeeze(2).mT
