"""What a network's forward tells of it, found on the meta device: nothing is computed or allocated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_IMAGES = 2  # batch norm in training mode refuses one image with a 1x1 map


@dataclass(frozen=True)
class Forward:
    """One forward of a network.

    order          its parameters by name, in the order in which they were first read; those that were not are missing
    convolutional  whether most of its multiply-adds are those of convolutions
    """

    order: tuple[str, ...]
    convolutional: bool


def forward(network: nn.Module, shape: Sequence[int], memory_format: torch.memory_format) -> Forward:
    """The forward of images of `shape` (channels, height, width). The network stays as it is.

    Raises whatever the network does on meta tensors: one that tells their numbers, or refuses the memory format.
    """
    parameters = {name: p.to("meta") for name, p in network.named_parameters()}
    state = parameters | {name: b.to("meta") for name, b in network.named_buffers()}
    images = torch.empty(_IMAGES, *shape, device="meta").contiguous(memory_format=memory_format)
    reads = _Reads({p.untyped_storage()._cdata: name for name, p in parameters.items()})
    with torch.no_grad(), FlopCounterMode(display=False) as flops, reads:
        torch.func.functional_call(network, state, images)
    counts = {str(operation): count for operation, count in flops.get_flop_counts().get("Global", {}).items()}
    convolutions = sum(count for operation, count in counts.items() if "conv" in operation)
    return Forward(tuple(reads.order), 2 * convolutions > sum(counts.values()))


class _Reads(TorchDispatchMode):
    """Notes which parameters operations are given. `names`: by their storage, which views share."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self._names = names
        self.order: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and (name := self._names.get(value.untyped_storage()._cdata)):
                self.order.setdefault(name)
        return func(*args, **(kwargs or {}))
