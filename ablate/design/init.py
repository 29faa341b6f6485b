"""Initial weights."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ablate.design.block import Block

Fill = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Initialiser:
    """Sets the weights of every convolution and linear layer; their biases start at zero.

    conv             for convolutions
    linear           for linear layers
    identity_blocks  for convolutions in blocks of `design.block` that keep their input's shape

    Each is a function of `torch.nn.init` with its options bound. Norm layers keep torch's initial values
    (scale 1, shift 0). Parameters that a part creates itself keep the values it gave them.
    """

    conv: Fill
    linear: Fill
    identity_blocks: Fill

    def __call__(self, network: nn.Module, stream: Callable[[str], torch.Generator]) -> None:
        """Fill `network` in place. `stream` gives each layer its own generator, by the layer's name. So a layer that
        two designs share starts from the same weights in both.
        """
        kept = [block for block in network.modules() if isinstance(block, Block) and block.keeps_shape]
        in_identity_block = {id(m) for block in kept for m in block.modules()}
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear):
                fill = self.linear
            elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                fill = self.identity_blocks if id(module) in in_identity_block else self.conv
            else:
                continue
            fill(module.weight, generator=stream(name))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
