"""What a network costs in parameters, multiply-adds and memory, counted without computing or allocating anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ablate.design.block import Block
from ablate.design.network import Network

# The batch size, a large prime. A tensor whose size is a multiple of it holds values for each image; any other, such as
# a batch norm's statistics, is shared by all images.
_IMAGES = 1_000_003

# After a stage's first three blocks, every further one equals the third.
ALIKE = 3


@dataclass(frozen=True)
class Cost:
    """The cost of a whole network, or of one of its stages.

    shape             of one image's output: (channels, height, width), or (classes,)
    blocks            residual blocks
    params            trainable parameters
    buffers           numbers that are kept but not trained: norm statistics (torch's batch counters left out)
    macs              multiply-adds of convolutions and linear layers in one forward of one image
    activation_bytes  what the forward of each image keeps for the backward, in float32
    """

    shape: tuple[int, ...]
    blocks: int
    params: int
    buffers: int
    macs: int
    activation_bytes: int


def cost(
    network: Network, channels: int, size: int, stages: Sequence[int] | None = None
) -> tuple[Cost, dict[str, Cost]]:
    """The cost of `network` for images of channels x size x size, and of its stages by name: stem, stage1, …, head.

    `network` must be built on the meta device: `with torch.device("meta"): …`. A deep network takes long to build, so
    you may build at most `ALIKE` blocks of each stage and pass the true numbers of blocks as `stages`.
    """
    x = torch.empty(_IMAGES, channels, size, size, device="meta")
    kept: dict[int, Tensor] = {p.untyped_storage()._cdata: p for p in network.parameters()}
    by_stage: dict[str, Cost] = {}
    for name in ("stem", *network.stage_names, "head"):
        stage = getattr(network, name)
        # A block that equals the two before it costs what the one before it does: its forward is skipped.
        pieces = list(stage.children()) if name in network.stage_names else [stage]
        signatures = [_signature(piece) for piece in pieces]
        costs: list[Cost] = []
        for number, piece in enumerate(pieces):
            if number >= 2 and signatures[number] == signatures[number - 1] == signatures[number - 2]:
                costs.append(costs[-1])
            else:
                x, piece_cost = _forward(piece, x, kept)
                costs.append(piece_cost)
        if stages is not None and name in network.stage_names:
            costs += [costs[-1]] * (stages[network.stage_names.index(name)] - ALIKE)
        by_stage[name] = _total(tuple(x.shape[1:]), costs)
    return _total(tuple(x.shape[1:]), list(by_stage.values())), by_stage


def _signature(module: nn.Module) -> tuple[str, list[torch.Size]]:
    """Equal for modules with the same layers and shapes."""
    return repr(module), [p.shape for p in module.parameters()]


def _forward(module: nn.Module, x: Tensor, kept: dict[int, Tensor]) -> tuple[Tensor, Cost]:
    """The module's output and cost. Tensors that it keeps for the backward are counted unless `kept` has them already,
    and are added to `kept`."""
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in kept:
            kept[tensor.untyped_storage()._cdata] = tensor
            saved.append(tensor)
        return tensor

    with FlopCounterMode(display=False) as flops, saved_tensors_hooks(keep, lambda tensor: tensor):
        y = module(x)
    sizes = [tensor.untyped_storage().nbytes() for tensor in saved]
    return y, Cost(
        shape=tuple(y.shape[1:]),
        blocks=sum(isinstance(part, Block) for part in module.modules()),
        params=sum(p.numel() for p in module.parameters() if p.requires_grad),
        buffers=sum(b.numel() for b in module.buffers() if b.is_floating_point()),
        macs=flops.get_total_flops() // 2 // _IMAGES,
        activation_bytes=sum(size // _IMAGES for size in sizes if size % _IMAGES == 0),
    )


def _total(shape: tuple[int, ...], costs: list[Cost]) -> Cost:
    counted: dict[str, Any] = {
        field: sum(getattr(cost, field) for cost in costs)
        for field in ("blocks", "params", "buffers", "macs", "activation_bytes")
    }
    return Cost(shape=shape, **counted)
