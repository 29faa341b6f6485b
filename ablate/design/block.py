"""The residual block, composed from parts."""

from torch import Tensor, nn

from ablate.design.branch import Branch
from ablate.design.placement import Parts, Placement
from ablate.design.shortcut import Shortcut


class Block(nn.Module):
    """One residual block.

        h = pre(x);  y = out(join(h, shortcut(x, h), post(branch(h))))

    The branch's layers are called conv1, norm1, act1, conv2, … The placement's `between` follows every convolution
    but the last, its `post` follows the last. A projection has a norm only if `post` has one. In the network's first
    block (`first`), a `pre` with an activation is applied before the split, so every shortcut reads h instead of x
    (He et al. 2016, arXiv 1603.05027, section 4.1).
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        first: bool,
        *,
        branch: Branch,
        placement: Placement,
        shortcut: Shortcut,
        parts: Parts,
    ) -> None:
        super().__init__()
        self.pre = parts.sequence(placement.pre, in_channels, fresh=False)
        self.split_after_pre = first and placement.activates_first

        convs = branch.unrolled(width, stride)
        layers: dict[str, nn.Module] = {}
        channels = in_channels
        for number, conv in enumerate(convs, start=1):
            layers[f"conv{number}"] = parts.conv(channels, conv.channels, conv.kernel, conv.stride)
            channels = conv.channels
            words = placement.between if number < len(convs) else placement.post
            layers |= parts.named(words, channels, number, fresh=True)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.branch_layers = tuple(layers)
        self.out_channels = channels

        self.shortcut = shortcut.path(in_channels, channels, stride, "norm" in placement.post, parts)
        self.join = shortcut.join(in_channels, channels, stride)
        self.out = parts.sequence(placement.out, channels, fresh=True)
        self.keeps_shape = in_channels == channels and stride == 1

    def branch(self, h: Tensor) -> Tensor:
        for name in self.branch_layers:
            h = getattr(self, name)(h)
        return h

    def forward(self, x: Tensor) -> Tensor:
        h = self.pre(x)
        s = self.shortcut(h if self.split_after_pre else x, h)
        return self.out(self.join(h, s, self.branch(h)))
