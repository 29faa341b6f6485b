"""Whole blocks against functional torch code written by hand from the same weights."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.configuration.composition import CONF
from ablate.design.block import Block

Layer = Callable[[Tensor], Tensor]
Shortcut = Callable[[Tensor, Tensor], Tensor]


class Weights:
    """The block's tensors by name, as plain functions: conv(name, stride) and norm(name)."""

    def __init__(self, block: Block) -> None:
        self.tensors = dict(block.state_dict())

    def conv(self, name: str, stride: int = 1) -> Layer:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias")
        return lambda x: F.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

    def norm(self, name: str) -> Layer:
        t = self.tensors
        mean, var, weight, bias = (
            t[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return lambda x: (x - mean) / (var + 1e-5).sqrt() * weight + bias


def original(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    return F.relu(s(x, x) + w.norm("norm2")(c2(F.relu(w.norm("norm1")(c1(x))))))


def norm_after_add(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    return F.relu(w.norm("out.norm")(s(x, x) + c2(F.relu(w.norm("norm1")(c1(x))))))


def act_before_add(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    return s(x, x) + F.relu(w.norm("norm2")(c2(F.relu(w.norm("norm1")(c1(x))))))


def act_only_pre(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    h = F.relu(x)
    return s(x, h) + w.norm("norm2")(c2(F.relu(w.norm("norm1")(c1(h)))))


def full_pre_activation(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    h = F.relu(w.norm("pre.norm")(x))
    return s(x, h) + c2(F.relu(w.norm("norm1")(c1(h))))


def no_act_after_add(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    return s(x, x) + w.norm("norm2")(c2(F.relu(w.norm("norm1")(c1(x)))))


def act_after_add_only(x: Tensor, c1: Layer, c2: Layer, w: Weights, s: Shortcut) -> Tensor:
    return F.relu(s(x, x) + w.norm("norm2")(c2(w.norm("norm1")(c1(x)))))


PLACEMENTS = {
    f.__name__: f
    for f in (
        original,
        norm_after_add,
        act_before_add,
        act_only_pre,
        full_pre_activation,
        no_act_after_add,
        act_after_add_only,
    )
}
# Where the branch ends without a norm, so does a projection.
NO_NORM_ON_PROJECTION = ("norm_after_add", "full_pre_activation")


def test_every_placement_has_a_reference() -> None:
    assert {file.stem for file in (CONF / "placement").glob("*.yaml")} == set(PLACEMENTS)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_identity_shortcut(placement: str, make_block: Callable[..., Block], x: Tensor) -> None:
    """The shortcut is x itself."""
    block = make_block(f"placement={placement}").eval()
    w = Weights(block)
    expected = PLACEMENTS[placement](x, w.conv("conv1"), w.conv("conv2"), w, lambda x, h: x)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_first_block(placement: str, make_block: Callable[..., Block], x: Tensor) -> None:
    """In the network's first block the shortcut is h, where `pre` activates (He et al. 2016, section 4.1)."""
    block = make_block(f"placement={placement}", first=True).eval()
    w = Weights(block)
    expected = PLACEMENTS[placement](x, w.conv("conv1"), w.conv("conv2"), w, lambda x, h: h)
    torch.testing.assert_close(block(x), expected)
    # That differs from x exactly where `pre` activates.
    later = make_block(f"placement={placement}").eval()(x)
    assert torch.equal(block(x), later) == ("pre" not in placement)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_projection(placement: str, make_block: Callable[..., Block], x: Tensor) -> None:
    """A strided, widening block: the projection reads h, and has a norm where the branch ends with one."""
    block = make_block(f"placement={placement}", "shortcut=projection", width=12, stride=2).eval()
    w = Weights(block)
    project = w.conv("shortcut.conv", stride=2)
    normed = placement not in NO_NORM_ON_PROJECTION
    assert any(name.startswith("shortcut.norm") for name in w.tensors) == normed
    s = (lambda x, h: w.norm("shortcut.norm.norm")(project(h))) if normed else (lambda x, h: project(h))
    expected = PLACEMENTS[placement](x, w.conv("conv1", stride=2), w.conv("conv2"), w, s)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("stride_on", ["first", "spatial"])
def test_bottleneck(stride_on: str, make_block: Callable[..., Block], x: Tensor) -> None:
    """1x1, 3x3 twice (block.depth=2), 1x1 to four times the width, the stride where it is asked for."""
    block = make_block("model=resnet50", f"block.stride_on={stride_on}", "block.depth=2", width=4, stride=2).eval()
    w = Weights(block)
    assert [w.tensors[f"conv{n}.weight"].shape[0] for n in (1, 2, 3, 4)] == [4, 4, 4, 16]
    assert [w.tensors[f"conv{n}.weight"].shape[-1] for n in (1, 2, 3, 4)] == [1, 3, 3, 1]
    strides = (2, 1) if stride_on == "first" else (1, 2)
    y = F.relu(w.norm("norm1")(w.conv("conv1", strides[0])(x)))
    y = F.relu(w.norm("norm2")(w.conv("conv2", strides[1])(y)))
    y = F.relu(w.norm("norm3")(w.conv("conv3")(y)))
    y = w.norm("norm4")(w.conv("conv4")(y))
    shortcut = w.norm("shortcut.norm.norm")(w.conv("shortcut.conv", 2)(x))
    torch.testing.assert_close(block(x), F.relu(shortcut + y))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_depth(depth: int, make_block: Callable[..., Block], x: Tensor) -> None:
    block = make_block(f"block.depth={depth}", "norm=none")
    w = Weights(block)
    y = x
    for n in range(1, depth + 1):
        y = w.conv(f"conv{n}")(y if n == 1 else F.relu(y))
    torch.testing.assert_close(block(x), F.relu(x + y))
    assert sum(name.endswith("weight") for name in w.tensors) == depth
