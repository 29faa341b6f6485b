"""The L2 norms of every layer's gradient, weights and update, computed for all layers at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.training.gradients.layers import MATRIX, NORM, OTHER, Layer

MULTIPLY = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.MultiheadAttention, nn.RNNBase)
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)

# Stands for a layer that has no gradient at a step, because the forward did not use it. Norms are never negative.
ABSENT = -1.0


@dataclass(frozen=True)
class _Index:
    """Which tensors' norms belong to which layer, given which parameters are `present`.

    layer_of  for each pair of a layer and one of its parameters, the layer
    norm_of   for each such pair, the parameter's position among those present
    absent    (layers,), whether none of the layer's parameters is present
    """

    present: list[bool]
    layer_of: Tensor
    norm_of: Tensor
    absent: Tensor
    any_absent: bool


class GradientNorms:
    """Measures a network's gradients, weights and updates layer by layer.

    A layer is a module that owns trainable parameters, and its norm is over all of them. A parameter that two layers
    share counts in both. Frozen layers are left out. A parameter of the network itself, such as a token, is a layer of
    its own. Layers are in the order in which they run, from the image to the head, if the network has
    `order_of_parameters` (build.py); otherwise in the order in which the network registers them.

    layers     their names
    depths     their positions in this order, scaled to 0 … 1
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
        """The gradients' norms, shape (layers,), float64, on their device; `ABSENT` for a layer without a gradient.

        scale  a loss scaler's scale, if the gradients are still multiplied by it
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
        """A copy of the parameters, for `update`."""
        return [p.clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, before: list[Tensor]) -> Tensor:
        """The norms of the changes since `before`, shape (layers,), float64. Overwrites `before`."""
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
    """The trainable parameters and the kind of each layer, by its name; the parameters in the layers' order."""
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
    for layer, part in layers.items():  # a layer that did not run comes after the one registered before it
        seen = [place[names[id(p)]] for p in part if names[id(p)] in place]
        places[layer] = latest = min(seen, default=latest)
    return {layer: layers[layer] for layer in sorted(layers, key=places.__getitem__)}, kinds


def _kind(module: nn.Module) -> str:
    """The `Layer.kind` of a module.

    A class that is not torch's counts as matrix if it owns a matrix and has no layers inside. If it has layers inside,
    its own matrix is a token or a table, such as a vision transformer's position embedding.
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
    """The layers' norms, computed from their tensors' norms; 0 for a layer without tensors."""
    # Within a tensor in float32: float64 takes twenty times as long on a CPU. A norm above 1e19 becomes inf, one below
    # 1e-22 becomes 0.
    norms = torch.stack(torch._foreach_norm(list(tensors), 2, dtype=torch.float32)).double()
    squares = torch.zeros_like(index.absent, dtype=torch.float64)
    return squares.index_add_(0, index.layer_of, norms.square()[index.norm_of]).sqrt()
