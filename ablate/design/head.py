"""From the last stage's map to class scores.

A head is `(shape, classes, words, parts) -> module`; `shape` is the map's (channels, height, width), `words`
the blocks' `pre`, applied once more after the last addition.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from ablate.design.placement import Parts
from ablate.errors import ImageSizeError


def global_pool(shape: tuple[int, int, int], classes: int, words: Sequence[str], parts: Parts) -> nn.Sequential:
    """[norm], [act], mean over positions, linear (He et al. 2015, table 1)."""
    return nn.Sequential(
        OrderedDict(
            **parts.named(words, shape[0], "", fresh=False),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(shape[0], classes),
        )
    )


def pool_flatten(
    shape: tuple[int, int, int], classes: int, words: Sequence[str], parts: Parts, *, pool: int
) -> nn.Sequential:
    """[norm], [act], pool x pool average pooling, flatten, linear.

    "Residual Networks - Step by Step" and "deep residual network" have it, with pool 2.

    Raises ImageSizeError where the map is smaller than the pooling window.
    """
    channels, height, width = shape
    if min(height, width) < pool:
        raise ImageSizeError(
            f"head=pool_flatten averages {pool}x{pool} pixels and clashes with this data.image_size: the last map is"
            f" {height}x{width}. Use head=global_pool, or a larger data.image_size."
        )
    return nn.Sequential(
        OrderedDict(
            **parts.named(words, channels, "", fresh=False),
            pool=nn.AvgPool2d(pool),
            flatten=nn.Flatten(),
            linear=nn.Linear(channels * (height // pool) * (width // pool), classes),
        )
    )


def vgg(
    shape: tuple[int, int, int],
    classes: int,
    words: Sequence[str],
    parts: Parts,
    *,
    pool: int,
    hidden: Sequence[int],
    dropout: float,
) -> nn.Sequential:
    """[norm], [act], 2x2/2 max-pool, mean to pool x pool, flatten; linear, act, dropout per hidden layer; linear.

    VGG's classifier (arXiv 1409.1556); the averaging, torchvision's, does nothing at 224 pixels.

    Raises ImageSizeError where the map cannot be halved.
    """
    channels, height, width = shape
    if min(height, width) < 2:
        raise ImageSizeError(
            f"head=vgg halves the last map and clashes with this data.image_size: the map is {height}x{width}."
            " Use head=global_pool, or a larger data.image_size."
        )
    layers: dict[str, nn.Module] = parts.named(words, channels, "", fresh=False)
    layers |= {"pool": nn.MaxPool2d(2), "average": nn.AdaptiveAvgPool2d(pool), "flatten": nn.Flatten()}
    features = channels * pool * pool
    for number, units in enumerate(hidden, start=1):
        layers[f"linear{number}"] = nn.Linear(features, units)
        layers[f"act{number}"] = parts.activation()
        layers[f"dropout{number}"] = nn.Dropout(dropout)
        features = units
    layers["linear"] = nn.Linear(features, classes)
    return nn.Sequential(OrderedDict(layers))
