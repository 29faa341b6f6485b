"""Where a block has norms and activations, and the layers that are put there."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ablate.design.convolution import Padding
from ablate.errors import InputError

WORDS = ("norm", "act")


@dataclass(frozen=True)
class Placement:
    """Four slots of a block, each a list of the words `norm` and `act`, in order.

    pre      before the branch, on the block's input
    between  between two convolutions of the branch
    post     after the branch's last convolution, before the addition
    out      after the addition

    The placements of He et al. 2016 (arXiv 1603.05027), figure 4, differ in these four lists alone.
    """

    pre: Sequence[str]
    between: Sequence[str]
    post: Sequence[str]
    out: Sequence[str]

    def __post_init__(self) -> None:
        for slot, words in vars(self).items():
            if not set(words) <= set(WORDS) or len(set(words)) < len(words):
                raise InputError(f"placement.{slot}={list(words)}: a slot holds each of {list(WORDS)} at most once.")

    @property
    def activates_first(self) -> bool:
        """Whether a block's branch starts with an activation ("pre-activation")."""
        return "act" in self.pre

    @property
    def left_to_stem(self) -> list[str]:
        """What the stem still has to do: whichever of norm and activation the first block's `pre` lacks."""
        return [word for word in WORDS if word not in self.pre]


@dataclass(frozen=True)
class Parts:
    """Makes the basic layers of every piece of a network.

    norm        channels -> module; an `nn.Identity` is left out
    activation  () -> module; an `nn.Identity` is left out
    conv_bias   whether convolutions have a bias
    padding     how convolutions and max-pools are padded
    """

    norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]
    conv_bias: bool
    padding: Padding

    def conv(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Conv2d:
        """A convolution that keeps the map's size at stride 1 and halves it, rounding up, at stride 2."""
        return self.padding.conv(in_channels, out_channels, kernel, stride, self.conv_bias)

    def named(self, words: Sequence[str], channels: int, number: int | str, fresh: bool) -> dict[str, nn.Module]:
        """The modules that `words` stand for, named `norm<number>` and `act<number>`.

        An activation works in place only if its input is `fresh`, which nothing else reads. A block's input is not:
        its shortcut reads it too.
        """
        modules: dict[str, nn.Module] = {}
        for word in words:
            module: Any = self.norm(channels) if word == "norm" else self.activation()
            if isinstance(module, nn.Identity):
                continue
            if word == "act" and not fresh and hasattr(module, "inplace"):
                module.inplace = False
            fresh = True
            modules[f"{word}{number}"] = module
        return modules

    def sequence(self, words: Sequence[str], channels: int, fresh: bool) -> nn.Sequential:
        """The modules that `words` stand for, one after the other; without words, the identity."""
        return nn.Sequential(OrderedDict(self.named(words, channels, "", fresh)))
