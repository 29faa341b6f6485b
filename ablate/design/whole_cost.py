"""The cost of a network that is not built from this project's parts, such as timm's: counted during a forward."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ablate.design.cost import Cost
from ablate.errors import InputError

FEW = 2  # images: batch norm in training mode refuses one image with a 1x1 map
_REST = "(rest)"  # what the network computes, and the parameters that it owns, outside of its child modules


@dataclass
class _Counts:
    """The counts of one module in one forward of a batch."""

    flops: int = 0
    kept_bytes: int = 0
    shape: tuple[int, ...] = ()


def whole_cost(network: nn.Module, channels: int, size: int) -> tuple[Cost, dict[str, Cost]]:
    """The cost of `network` for images of channels x size x size, and of its child modules by name, in the order in
    which they first run.

    Counts the forwards of 2 and of 4 images: half of the difference is the cost of one image, whatever the network
    does inside. If the network is on the meta device, nothing is computed or allocated.

    Raises InputError if the network does not return a tensor, or if no parameter can learn by its scores, and whatever
    its forward raises.
    """
    fewer, more = (_counted(network, channels, size, images) for images in (FEW, 2 * FEW))
    parts: dict[str, nn.Module] = dict(network.named_children())
    own = list(network.parameters(recurse=False))
    costs = {}
    for name in dict.fromkeys(
        [*more, *(name for name, module in parts.items() if any(True for _ in module.parameters()))]
    ):
        less, many = fewer.get(name, _Counts()), more.get(name, _Counts())
        costs[name] = Cost(
            shape=many.shape,
            blocks=0,
            macs=(many.flops - less.flops) // FEW // 2,
            activation_bytes=(many.kept_bytes - less.kept_bytes) // FEW,
            **_numbers(parts[name].parameters() if name in parts else own, parts.get(name)),
        )
    rest = costs[_REST]
    if not (own or rest.macs or rest.activation_bytes):
        del costs[_REST]
    total = Cost(
        shape=rest.shape,
        blocks=0,
        macs=sum(cost.macs for cost in costs.values()),
        activation_bytes=sum(cost.activation_bytes for cost in costs.values()),
        **_numbers(network.parameters(), network),
    )
    return total, costs


def _numbers(parameters: Any, module: nn.Module | None) -> dict[str, int]:
    buffers = module.buffers() if module is not None else ()
    return {
        "params": sum(p.numel() for p in parameters if p.requires_grad),
        "buffers": sum(b.numel() for b in buffers if b.is_floating_point()),
    }


def _untrained(network: nn.Module) -> str:
    """Why nothing of the network would learn."""
    parameters = list(network.parameters())
    if not parameters:
        return "the network has no parameters: there is nothing to train."
    if not any(parameter.requires_grad for parameter in parameters):
        return f"none of the network's {len(parameters)} parameters is trained: their requires_grad is False."
    return (
        "no gradient comes from the network's scores: its forward cuts them off from its parameters, as detach(),"
        " torch.no_grad() or numbers taken out of a tensor do."
    )


def _called(module: nn.Module) -> list[nn.Module]:
    """The modules whose forward runs: `module`, or those inside if it is a ModuleList or ModuleDict, which has none."""
    if isinstance(module, nn.ModuleList | nn.ModuleDict):
        return [called for inside in module.children() for called in _called(inside)]
    return [module]


def _counted(network: nn.Module, channels: int, size: int, images: int) -> dict[str, _Counts]:
    """The counts of one forward of `images` images, by child module. The shape of `_REST` is the network's output."""
    device = next(network.parameters(), torch.empty(0)).device
    found: dict[str, _Counts] = {}
    running: list[str] = [_REST]
    kept: dict[int, Tensor] = {p.untyped_storage()._cdata: p for p in network.parameters()}
    started: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in kept:
            kept[tensor.untyped_storage()._cdata] = tensor
            of(running[-1]).kept_bytes += tensor.untyped_storage().nbytes()
        return tensor

    def of(name: str) -> _Counts:
        return found.setdefault(name, _Counts())

    def enter(name: str) -> None:
        of(name)
        running.append(name)
        started.append(flops.get_total_flops())

    def leave(name: str, output: Any) -> None:
        spent = flops.get_total_flops() - started.pop()
        running.pop()
        of(name).flops += spent
        of(running[-1]).flops -= spent
        of(name).shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()

    hooks = []
    for name, module in network.named_children():
        for called in _called(module):
            hooks.append(called.register_forward_pre_hook(lambda *_, name=name: enter(name)))
            hooks.append(called.register_forward_hook(lambda _, __, output, name=name: leave(name, output)))
    x = torch.zeros(images, channels, size, size, device=device)
    try:
        with FlopCounterMode(display=False) as flops, saved_tensors_hooks(keep, lambda tensor: tensor):
            scores = network.train()(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(scores, Tensor):
        raise InputError(f"model: the network returns {type(scores).__name__}; a tensor of scores is expected.")
    if not scores.requires_grad:
        raise InputError(f"model: {_untrained(network)}")
    rest = found.pop(_REST, _Counts())
    found[_REST] = _Counts(rest.flops + flops.get_total_flops(), rest.kept_bytes, tuple(scores.shape[1:]))
    return found
