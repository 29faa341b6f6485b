"""What one forward on the meta device shows of a network. Nothing is computed or allocated."""

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

    order          names of the parameters, in the order in which the forward first reads them; unread ones are left out
    convolutional  whether convolutions do most of the multiply-adds
    """

    order: tuple[str, ...]
    convolutional: bool


def forward(network: nn.Module, shape: Sequence[int], memory_format: torch.memory_format) -> Forward:
    """Run `network`, which stays unchanged, on images of `shape` (channels, height, width).

    Raises whatever the network raises on meta tensors, for example if it needs their values or refuses the memory
    format.
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
    """Records which parameters are read. `names` are keyed by storage, which a parameter shares with its views."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self._names = names
        self.order: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and (name := self._names.get(value.untyped_storage()._cdata)):
                self.order.setdefault(name)
        return func(*args, **(kwargs or {}))
