"""Works around an error of torch: gradients of kernel weights that only ever meet padding, because the map is smaller.

Such a gradient must be 0. In bfloat16 on a CPU, torch 2.14 does not set it for a strided convolution of a map of one
pixel, so that it holds whatever was in memory: up to 1e33, or NaN. That would spoil every recorded norm, and clipping.
"""

from contextlib import suppress
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from ablate.design.convolution import PaddedConv
from ablate.design.network import output_shape


def keep_at_zero(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Set the gradient of such weights to 0 from now on, for images of `shape` (channels, height, width).

    A network that cannot run on the meta device is left unchanged.
    """
    read: dict[nn.Conv2d, Tensor] = {}

    def look(conv: nn.Conv2d, inputs: tuple[Tensor]) -> None:
        found = meets_pixels(conv, (int(inputs[0].shape[-2]), int(inputs[0].shape[-1])))
        read[conv] = read[conv] | found if conv in read else found

    # No other subclasses: their forward may pad before it convolves.
    own = [m for m in network.modules() if isinstance(m, nn.Conv2d) and type(m) in (nn.Conv2d, PaddedConv)]
    convs = [conv for conv in own if max(conv.kernel_size) > 1]
    hooks = [conv.register_forward_pre_hook(look) for conv in convs]
    with suppress(Exception):  # on the meta device a user's network may raise anything
        output_shape(network, shape)
    for hook in hooks:
        hook.remove()
    for conv, meets in read.items():
        if conv.weight.requires_grad and not meets.all():
            conv.weight.register_hook(partial(_without, ~meets))


def _without(unread: Tensor, gradient: Tensor) -> Tensor:
    return gradient.masked_fill(unread, 0)


def meets_pixels(conv: nn.Conv2d, size: tuple[int, int]) -> Tensor:
    """(kernel height, kernel width): whether each weight of the kernel meets a pixel of a map of `size`."""
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return torch.ones(conv.kernel_size, dtype=torch.bool)
    rows, columns = (
        [any(0 <= place * stride - padding + tap * dilation < length for place in range(places)) for tap in range(taps)]
        for taps, stride, padding, dilation, length in zip(
            conv.kernel_size, conv.stride, conv.padding, conv.dilation, size, strict=True
        )
        for places in [(length + 2 * padding - dilation * (taps - 1) - 1) // stride + 1]
    )
    return torch.tensor([row and column for row, column in product(rows, columns)]).view(conv.kernel_size)
