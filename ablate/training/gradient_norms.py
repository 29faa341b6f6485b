"""The L2 norm of every layer's gradient, all layers in one fused computation."""

import torch
from torch import Tensor, nn

# A layer without a gradient at some step (no part in the forward): no norm is negative, so nothing is confused.
ABSENT = -1.0


class GradientNorms:
    """Measures a network's gradients layer by layer.

    A layer is a module that owns trainable parameters, and its norm is over all of them; a parameter that two
    layers share counts in both, and frozen layers are absent. Layers stand in the order in which the network
    registers them, from the image to the head; `depth` is that order scaled to 0 … 1.
    """

    def __init__(self, network: nn.Module) -> None:
        owned = {
            name: [p for p in module.parameters(recurse=False) if p.requires_grad]
            for name, module in network.named_modules()
        }
        owned = {name: parameters for name, parameters in owned.items() if parameters}
        self.layers = list(owned)
        self.depths = [i / max(1, len(owned) - 1) for i in range(len(owned))]
        self.parameters = list({id(p): p for parameters in owned.values() for p in parameters}.values())
        position = {id(p): i for i, p in enumerate(self.parameters)}
        self._pairs = [(layer, position[id(p)]) for layer, ps in enumerate(owned.values()) for p in ps]
        self._present: list[bool] = []

    def measure(self, scale: Tensor | None = None) -> Tensor:
        """The layers' norms, shape (layers,), float64, on the gradients' device; `ABSENT` where there is none.

        scale  what the gradients are multiplied by (a loss scaler's scale), if they still are
        """
        present = [p.grad is not None for p in self.parameters]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            return torch.full((len(self.layers),), ABSENT, dtype=torch.float64)
        if present != self._present:
            self._index(present, gradients[0].device)
        # float32 within a parameter, where float64 takes twenty times as long on a CPU: a norm above 1e19 comes out
        # as inf, one below 1e-22 as 0.
        norms = torch.stack(torch._foreach_norm(gradients, 2, dtype=torch.float32)).double()
        squares = torch.zeros_like(self._absent, dtype=torch.float64).index_add_(
            0, self._layer_of, norms.square()[self._norm_of]
        )
        result = squares.sqrt()
        if scale is not None:
            result = result / scale
        return torch.where(self._absent, ABSENT, result) if self._any_absent else result

    def _index(self, present: list[bool], device: torch.device) -> None:
        """Which norm belongs to which layer, for the parameters that have a gradient."""
        self._present = present
        rank = {position: i for i, position in enumerate(p for p, has in enumerate(present) if has)}
        pairs = [(layer, rank[position]) for layer, position in self._pairs if position in rank]
        self._layer_of = torch.tensor([layer for layer, _ in pairs], device=device)
        self._norm_of = torch.tensor([norm for _, norm in pairs], device=device)
        measured = {layer for layer, _ in pairs}
        absent = [layer not in measured for layer in range(len(self.layers))]
        self._any_absent = any(absent)
        self._absent = torch.tensor(absent, device=device)
