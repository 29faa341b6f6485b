"""What a network costs, counted without computing or allocating it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ablate.design.block import Block
from ablate.design.network import Network

# Batch norm refuses to train on one image with a 1x1 map.
_IMAGES = 2


@dataclass(frozen=True)
class Cost:
    """Of the whole network, or of one of its stages.

    shape             of one image's output: (channels, height, width), or (classes,)
    blocks            residual blocks
    params            trainable parameters
    buffers           numbers that are kept but not trained: norm statistics (torch's batch counters left out)
    macs              multiply-adds of convolutions and linear layers in one forward of one image
    activation_bytes  what one image's forward keeps for the backward, in float32
    """

    shape: tuple[int, ...]
    blocks: int
    params: int
    buffers: int
    macs: int
    activation_bytes: int


def cost(network: Network, channels: int, size: int) -> tuple[Cost, dict[str, Cost]]:
    """The cost of `network` for images of channels x size x size, and of its stages by name: stem, stage1, …, head.

    `network` is built on the meta device: `with torch.device("meta"): …`.
    """
    kept: dict[int, Tensor] = {p.untyped_storage()._cdata: p for p in network.parameters()}
    x = torch.empty(_IMAGES, channels, size, size, device="meta")
    stages: dict[str, Cost] = {}
    for name in ("stem", *network.stage_names, "head"):
        stage = getattr(network, name)
        saved: list[Tensor] = []

        def keep(tensor: Tensor, saved: list[Tensor] = saved) -> Tensor:
            if tensor.untyped_storage()._cdata not in kept:
                kept[tensor.untyped_storage()._cdata] = tensor
                saved.append(tensor)
            return tensor

        with FlopCounterMode(display=False) as flops, saved_tensors_hooks(keep, lambda tensor: tensor):
            x = stage(x)
        stages[name] = Cost(
            shape=tuple(x.shape[1:]),
            blocks=sum(isinstance(module, Block) for module in stage.modules()),
            params=sum(p.numel() for p in stage.parameters() if p.requires_grad),
            buffers=sum(b.numel() for b in stage.buffers() if b.is_floating_point()),
            macs=flops.get_total_flops() // 2 // _IMAGES,
            activation_bytes=sum(t.untyped_storage().nbytes() for t in saved) // _IMAGES,
        )
    whole: dict[str, Any] = {
        field: sum(getattr(stage, field) for stage in stages.values())
        for field in ("blocks", "params", "buffers", "macs", "activation_bytes")
    }
    return Cost(shape=tuple(x.shape[1:]), **whole), stages
