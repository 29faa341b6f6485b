"""Numbers of a kernel that meet nothing but padding: those outside of a map that is smaller than the kernel.

Their gradient is 0. In bfloat16 on a CPU, a strided convolution of a map of one pixel leaves there what it finds in the
memory (torch 2.14): anything up to 1e33 or NaN, in every recorded norm, and in what clipping divides by.
"""

from contextlib import suppress
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from ablate.design.network import output_shape


def keep_at_zero(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Let the gradient of such numbers be 0 from now on, for images of `shape` (channels, height, width).

    A network that cannot run on the meta device stays as it is.
    """
    read: dict[nn.Conv2d, Tensor] = {}

    def look(conv: nn.Conv2d, inputs: tuple[Tensor]) -> None:
        found = meets_pixels(conv, (int(inputs[0].shape[-2]), int(inputs[0].shape[-1])))
        read[conv] = read[conv] | found if conv in read else found

    # Not those of a class of its own, which may pad by itself before it convolves.
    convs = [module for module in network.modules() if type(module) is nn.Conv2d and max(module.kernel_size) > 1]
    hooks = [conv.register_forward_pre_hook(look) for conv in convs]
    with suppress(Exception):  # whatever a network of the user's does on tensors without numbers
        output_shape(network, shape)
    for hook in hooks:
        hook.remove()
    for conv, meets in read.items():
        if conv.weight.requires_grad and not meets.all():
            conv.weight.register_hook(partial(_without, ~meets))


def _without(unread: Tensor, gradient: Tensor) -> Tensor:
    return gradient.masked_fill(unread, 0)


def meets_pixels(conv: nn.Conv2d, size: tuple[int, int]) -> Tensor:
    """(kernel height, kernel width): whether a number of the kernel meets any pixel of a map of `size`."""
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
