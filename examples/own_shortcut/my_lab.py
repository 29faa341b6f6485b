"""A shortcut of one's own."""

import torch.nn.functional as F
from torch import nn


class Blurred(nn.Module):
    """The mean of each 2x2 pixels of x, zeros for the new channels: no parameters."""

    def __init__(self, in_channels, out_channels, stride, norm, parts):
        super().__init__()
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, x, h):  # x: the block's input, h: what its `pre` makes of it
        x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))
