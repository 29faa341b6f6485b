"""Normalisation layers that torch does not offer as `channels -> module`."""

from math import gcd

from torch import nn


def group_norm(channels: int, *, groups: int) -> nn.GroupNorm:
    """Group norm (Wu and He 2018, arXiv 1803.08494) over at most `groups` groups.

    The number of groups must divide the channels. Where it does not, gcd(groups, channels) groups are used.
    One group is layer norm over channels and positions.
    """
    return nn.GroupNorm(gcd(groups, channels), channels)
