"""The path around a block's branch, and how the two are joined.

A shortcut option names three parts: the path of a block that keeps its input's shape (`same`), the path of
one that changes it (`changed`), and the `join`.

    path  (in_channels, out_channels, stride, norm, parts) -> module;  (x, h) -> s
    join  (in_channels, out_channels, stride) -> module;               (h, s, f) -> y

x is the block's input, h what its `pre` makes of it, f the branch's output.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.design.convolution import conv
from ablate.design.placement import Parts
from ablate.errors import InputError


@dataclass(frozen=True)
class Shortcut:
    """One option of the shortcut axis. Its two paths and its join are functions that make a new module for each
    block."""

    same: Callable[..., nn.Module]
    changed: Callable[..., nn.Module]
    join: Callable[..., nn.Module]

    def path(self, in_channels: int, out_channels: int, stride: int, norm: bool, parts: Parts) -> nn.Module:
        """The path for a block's change of shape; `norm`: whether a convolution on it is normalised."""
        keeps_shape = in_channels == out_channels and stride == 1
        return (self.same if keeps_shape else self.changed)(in_channels, out_channels, stride, norm, parts)


class Nothing(nn.Module):
    """No path. For plain networks, joined by `BranchOnly`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: bool, parts: Parts) -> None:
        super().__init__()

    def forward(self, x: Tensor, h: Tensor) -> None:
        return None


class Identity(nn.Module):
    """s = x. For blocks that keep the shape of their input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: bool, parts: Parts) -> None:
        super().__init__()

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return x


class ZeroPad(nn.Module):
    """Every `stride`-th pixel of x, zeros for the new channels: no parameters.

    Option A of He et al. 2015 (arXiv 1512.03385), section 4.2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: bool, parts: Parts) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise InputError(
                f"shortcut=zero_pad cannot narrow {in_channels} channels to {out_channels}, as model.widths and"
                " block ask here: use shortcut=projection, or widths that do not fall."
            )
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


class Projection(nn.Module):
    """1x1 convolution of h, with a norm where the branch ends with one.

    Options B and C of He et al. 2015 (arXiv 1512.03385), section 4.2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: bool, parts: Parts) -> None:
        super().__init__()
        self.conv = parts.conv(in_channels, out_channels, kernel=1, stride=stride)
        self.norm = parts.sequence(["norm"] if norm else [], out_channels, fresh=True)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.norm(self.conv(h))


class BranchOnly(nn.Module):
    """y = f: a plain network."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()

    def forward(self, h: Tensor, s: Tensor | None, f: Tensor) -> Tensor:
        return f


class Sum(nn.Module):
    """y = s + f."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()

    def forward(self, h: Tensor, s: Tensor, f: Tensor) -> Tensor:
        return s + f


class Scale(nn.Module):
    """y = shortcut * s + branch * f, two constants.

    "Constant scaling" of He et al. 2016 (arXiv 1603.05027), table 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, shortcut: float, branch: float) -> None:
        super().__init__()
        self.shortcut, self.branch = shortcut, branch

    def forward(self, h: Tensor, s: Tensor, f: Tensor) -> Tensor:
        return self.shortcut * s + self.branch * f


class Dropout(nn.Module):
    """y = dropout(s) + f, dropout at ratio `p` on the shortcut.

    "Dropout shortcut" of He et al. 2016 (arXiv 1603.05027), table 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, p: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(p)

    def forward(self, h: Tensor, s: Tensor, f: Tensor) -> Tensor:
        return self.drop(s) + f


class Gate(nn.Module):
    """g = sigmoid(conv1x1(h) + b) per channel and position; y = (1 - g) * s + (g * f, or f).

    He et al. 2016 (arXiv 1603.05027), section 3.1: exclusive gating with `gate_branch`, else shortcut-only gating.
    `bias` is the initial value of b. The convolution has no bias itself, because an initialiser would overwrite that.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, bias: float, gate_branch: bool) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, kernel=1, stride=stride, bias=False)
        self.bias = nn.Parameter(torch.full((out_channels, 1, 1), float(bias)))
        self.gate_branch = gate_branch

    def forward(self, h: Tensor, s: Tensor, f: Tensor) -> Tensor:
        g = torch.sigmoid(self.conv(h) + self.bias)
        return (1 - g) * s + (g * f if self.gate_branch else f)
