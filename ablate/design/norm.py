"""Normalisation layers that torch does not offer as `channels -> module`."""

from math import gcd

from torch import nn


def group_norm(channels: int, *, groups: int) -> nn.GroupNorm:
    """Group norm (Wu and He 2018, arXiv 1803.08494) over at most `groups` groups.

    The groups must divide the channels, so their number falls to gcd(groups, channels) where they do
    not. One group is layer norm over channels and positions.
    """
    return nn.GroupNorm(gcd(groups, channels), channels)
