"""How the map shrinks from one stage to the next.

A transition is `(in_channels, width, parts) -> (module, channels, stride)`: the layers before a stage, their output
channels, and the stride of the stage's first block.
"""

from collections import OrderedDict

from torch import nn

from ablate.design.placement import Parts


def strided_block(in_channels: int, width: int, parts: Parts) -> tuple[nn.Sequential, int, int]:
    """Nothing between the stages: the next stage's first block has stride 2 (He et al. 2015)."""
    return nn.Sequential(), in_channels, 2


def conv_pair(in_channels: int, width: int, parts: Parts) -> tuple[nn.Sequential, int, int]:
    """3x3/2, norm, act, 3x3/2, norm, act: the map falls to a quarter, outside any block ("ResNet networks")."""
    layers: dict[str, nn.Module] = {}
    for number, channels in enumerate((in_channels, width), start=1):
        layers[f"conv{number}"] = parts.conv(channels, width, kernel=3, stride=2)
        layers |= parts.named(["norm", "act"], width, number, fresh=True)
    return nn.Sequential(OrderedDict(layers)), width, 1


def max_pool(in_channels: int, width: int, parts: Parts) -> tuple[nn.Sequential, int, int]:
    """2x2/2 max-pool (VGG; Simonyan and Zisserman 2014, arXiv 1409.1556)."""
    return nn.Sequential(OrderedDict(pool=nn.MaxPool2d(2))), in_channels, 1
