"""Convolutions and max-pools with one of two paddings. With either, stride s turns n pixels into ceil(n / s)."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TINY = 2  # pixels along an edge of a map that a CPU convolves as one matrix product


class PaddedConv(nn.Conv2d):
    """A convolution with an odd kernel, padded by half of it. On a CPU, tiny maps are convolved as one matrix product.

    On a map of at most 2x2 pixels every output sees every pixel, through one weight of the kernel each. The matrix of
    these weights (outputs x channels, pixels x channels) does what the convolution does, without products of padding:
    a step of torch 2.14's `nn.Conv2d` on such a map takes 2 to 12 times as long, in float32 with AVX2. The sums are
    the same, in another order. What has been changed in the layer since, such as its dilation, is convolved as ever.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dim() != 4 or max(x.shape[2:]) > TINY or not self._is_one_product():
            return super().forward(x)
        height, width = x.shape[2:]
        outputs = [*product(range(0, height, self.stride[0]), range(0, width, self.stride[0]))]
        pixels = [*product(range(height), range(width))]
        # Where in the kernel an output's weight for a pixel is. Each pair has a matrix (out channels, in channels).
        side, half = self.kernel_size[0], self.kernel_size[0] // 2
        places = [(y - row + half) * side + z - column + half for row, column in outputs for y, z in pixels]
        matrices = self.weight.permute(2, 3, 0, 1).flatten(0, 1).index_select(0, torch.tensor(places))
        matrix = matrices.unflatten(0, (len(outputs), len(pixels))).transpose(1, 2).flatten(2).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat(len(outputs))
        sums = F.linear(x.permute(0, 2, 3, 1).flatten(1), matrix, bias)
        rows = -(-height // self.stride[0])
        return sums.unflatten(1, (rows, -1, self.out_channels)).permute(0, 3, 1, 2)

    def _is_one_product(self) -> bool:
        """Whether its kernel is square, larger than 1x1 and padded by half with zeros, and it has no other options."""
        side, stride = self.kernel_size[0], self.stride[0]
        square = self.kernel_size == (side, side) and self.stride == (stride, stride) and side % 2 == 1 and side > 1
        plain = self.dilation == (1, 1) and self.groups == 1 and self.padding_mode == "zeros"
        return square and plain and self.padding == (side // 2, side // 2)


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution with a stride: it takes every stride-th pixel, then convolves them with stride 1.

    The result is that of `nn.Conv2d`, which in torch 2.14 writes out of bounds on processors with AVX2 but without
    AVX-512 (float32, channels-last, fewer than 8 input channels). The 1x1 average pooling only picks pixels. It is
    faster than slicing, whose backward fills the whole map twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.avg_pool2d(x, 1, self.stride), self.weight, self.bias)


class SameConv(nn.Conv2d):
    """Keras's Conv2D with padding='same'."""

    def forward(self, x: Tensor) -> Tensor:
        padded = _same(x, self.kernel_size[0], self.stride[0], 0.0)
        return F.conv2d(padded, self.weight, self.bias, self.stride)


class SameMaxPool(nn.MaxPool2d):
    """Keras's MaxPooling2D with padding='same'."""

    kernel_size: int
    stride: int

    def forward(self, x: Tensor) -> Tensor:
        padded = _same(x, self.kernel_size, self.stride, -float("inf"))
        return F.max_pool2d(padded, self.kernel_size, self.stride)


def _same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """x padded with `value` so that ceil(n / stride) windows fit. Half of the padding goes before the map, and an odd
    pixel after it (TensorFlow's guide to `tf.nn`, "notes on padding")."""
    around: list[int] = []
    for length in (x.shape[3], x.shape[2]):  # F.pad starts with the last axis
        windows = -(-length // stride)
        total = max((windows - 1) * stride + kernel - length, 0)
        around += [total // 2, total - total // 2]
    return F.pad(x, around, value=value)


@dataclass(frozen=True)
class Padding:
    """One way to pad.

    conv      (in_channels, out_channels, kernel, stride, bias) -> module
    max_pool  (kernel, stride) -> module
    """

    conv: Callable[[int, int, int, int, bool], nn.Conv2d]
    max_pool: Callable[[int, int], nn.MaxPool2d]


def conv(in_channels: int, out_channels: int, kernel: int, stride: int, bias: bool) -> nn.Conv2d:
    """A convolution padded by kernel // 2 pixels on each side, as in torchvision's networks."""
    layer = PointwiseConv if kernel == 1 and stride > 1 else PaddedConv if kernel % 2 else nn.Conv2d
    return layer(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=bias)


def _max_pool(kernel: int, stride: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel, stride=stride, padding=kernel // 2)


def _same_conv(in_channels: int, out_channels: int, kernel: int, stride: int, bias: bool) -> nn.Conv2d:
    if kernel % 2 == 1 and (stride == 1 or kernel == 1):  # "same" then pads both sides alike
        return conv(in_channels, out_channels, kernel, stride, bias)
    return SameConv(in_channels, out_channels, kernel, stride=stride, bias=bias)


def _same_max_pool(kernel: int, stride: int) -> nn.MaxPool2d:
    return SameMaxPool(kernel, stride=stride)


# both: the same number of pixels on each side, whatever the map's size. same: as TensorFlow and Keras pad; a 3x3 window
# with stride 2 on a map of even size gets padding at the bottom and the right only.
PADDINGS = {"both": Padding(conv, _max_pool), "same": Padding(_same_conv, _same_max_pool)}
