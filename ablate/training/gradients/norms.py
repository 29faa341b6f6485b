"""The L2 norm of every layer's gradient, weights and update, all layers in one fused computation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.training.gradients.layers import MATRIX, NORM, OTHER, Layer

MULTIPLY = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.MultiheadAttention, nn.RNNBase)
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)

# A layer without a gradient at some step (no part in the forward): no norm is negative, so nothing is confused.
ABSENT = -1.0


@dataclass(frozen=True)
class _Index:
    """Which tensor's norm belongs to which layer: for the parameters that are `present`, on one device."""

    present: list[bool]
    layer_of: Tensor
    norm_of: Tensor
    absent: Tensor
    any_absent: bool


class GradientNorms:
    """Measures a network's gradients, weights and updates layer by layer.

    A layer is a module that owns trainable parameters, and its norm is over all of them; a parameter that two
    layers share counts in both, and frozen layers are absent. What the network itself owns beside its modules, such
    as a token, are layers each by itself. Layers stand in the order in which they run, where the network tells it
    (`order_of_parameters`, build.py), else in that in which it registers them, from the image to the head.

    layers     their names
    depths     that order scaled to 0 … 1
    sizes      how many trainable numbers each has: norm / sqrt(size) is the root mean square
    described  all of this, and each layer's kind
    """

    def __init__(self, network: nn.Module) -> None:
        owned, kinds = _owned(network)
        self.layers = list(owned)
        self.depths = [i / max(1, len(owned) - 1) for i in range(len(owned))]
        self.sizes = [sum(p.numel() for p in parameters) for parameters in owned.values()]
        self.described = [
            Layer(name, depth, size, kinds[name])
            for name, depth, size in zip(self.layers, self.depths, self.sizes, strict=True)
        ]
        self.parameters = list({id(p): p for parameters in owned.values() for p in parameters}.values())
        position = {id(p): i for i, p in enumerate(self.parameters)}
        self._pairs = [(layer, position[id(p)]) for layer, ps in enumerate(owned.values()) for p in ps]
        self._of_gradients: _Index | None = None
        self._of_all: _Index | None = None

    def measure(self, scale: Tensor | None = None) -> Tensor:
        """The gradients' norms, shape (layers,), float64, on their device; `ABSENT` where there is none.

        scale  what the gradients are multiplied by (a loss scaler's scale), if they still are
        """
        present = [p.grad is not None for p in self.parameters]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            return torch.full((len(self.layers),), ABSENT, dtype=torch.float64)
        if self._of_gradients is None or present != self._of_gradients.present:
            self._of_gradients = self._index(present, gradients[0].device)
        index = self._of_gradients
        result = _norms(gradients, index)
        if scale is not None:
            result = result / scale
        return torch.where(index.absent, ABSENT, result) if index.any_absent else result

    @torch.no_grad()
    def weights(self) -> Tensor:
        """The weights' norms, shape (layers,), float64, on their device."""
        return _norms(self.parameters, self._all())

    @torch.no_grad()
    def copied(self) -> list[Tensor]:
        """The parameters as they are now, for `update`."""
        return [p.clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, before: list[Tensor]) -> Tensor:
        """The norms of what has changed since `before`, which is used up; shape (layers,), float64."""
        torch._foreach_sub_(before, self.parameters)
        return _norms(before, self._all())

    def _all(self) -> _Index:
        if self._of_all is None:
            self._of_all = self._index([True] * len(self.parameters), self.parameters[0].device)
        return self._of_all

    def _index(self, present: list[bool], device: torch.device) -> _Index:
        rank = {position: i for i, position in enumerate(p for p, has in enumerate(present) if has)}
        pairs = [(layer, rank[position]) for layer, position in self._pairs if position in rank]
        measured = {layer for layer, _ in pairs}
        absent = [layer not in measured for layer in range(len(self.layers))]
        return _Index(
            present=present,
            layer_of=torch.tensor([layer for layer, _ in pairs], device=device),
            norm_of=torch.tensor([norm for _, norm in pairs], device=device),
            absent=torch.tensor(absent, device=device),
            any_absent=any(absent),
        )


def _owned(network: nn.Module) -> tuple[dict[str, list[Tensor]], dict[str, str]]:
    """The layers' trainable parameters and kinds, by the layers' names, in order."""
    names = {id(p): name for name, p in network.named_parameters()}
    layers: dict[str, list[Tensor]] = {}
    kinds: dict[str, str] = {}
    for name, module in network.named_modules():
        parameters: list[Tensor] = [p for p in module.parameters(recurse=False) if p.requires_grad]
        alone = not name and any(True for _ in network.children())
        for layer, part in [(names[id(p)], [p]) for p in parameters] if alone else [(name, parameters)]:
            if part:
                layer = layer or type(network).__name__  # the network is one layer
                layers[layer], kinds[layer] = part, OTHER if alone else _kind(module)
    place = {name: i for i, name in enumerate(getattr(network, "order_of_parameters", ()))}
    places: dict[str, int] = {}
    latest = -1
    for layer, part in layers.items():  # one that was not seen to run stands after the one registered before it
        seen = [place[names[id(p)]] for p in part if names[id(p)] in place]
        places[layer] = latest = min(seen, default=latest)
    return {layer: layers[layer] for layer in sorted(layers, key=places.__getitem__)}, kinds


def _kind(module: nn.Module) -> str:
    """`Layer.kind` of a module, whoever wrote it.

    Of a class that torch does not know: a layer with a matrix of its own and no layers inside multiplies by it; one
    with layers inside owns a token or a table, as a vision transformer its position embedding.
    """
    if isinstance(module, MULTIPLY):
        return MATRIX
    if isinstance(module, NORMS):
        return NORM
    own = [p for p in module.parameters(recurse=False) if p.requires_grad]
    if any(sum(size > 1 for size in p.shape) > 1 for p in own):
        return OTHER if any(True for _ in module.children()) else MATRIX
    return NORM if "norm" in type(module).__name__.lower() else OTHER


def _norms(tensors: Sequence[Tensor], index: _Index) -> Tensor:
    """The layers' norms from those of their tensors; 0 where a layer has none."""
    # float32 within a parameter, where float64 takes twenty times as long on a CPU: a norm above 1e19 comes out
    # as inf, one below 1e-22 as 0.
    norms = torch.stack(torch._foreach_norm(list(tensors), 2, dtype=torch.float32)).double()
    squares = torch.zeros_like(index.absent, dtype=torch.float64)
    return squares.index_add_(0, index.layer_of, norms.square()[index.norm_of]).sqrt()
