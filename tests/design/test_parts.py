"""The parts of a block one by one: shortcuts, gates, activations in place, the head, initial weights."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn

from ablate.configuration.composition import CONF
from ablate.design.block import Block
from ablate.errors import InputError
from ablate.training import build

MakeBlock = Callable[..., Block]
PLACEMENTS = [file.stem for file in sorted((CONF / "placement").glob("*.yaml"))]
NORMS = [file.stem for file in sorted((CONF / "norm").glob("*.yaml"))]
ACTIVATIONS = [file.stem for file in sorted((CONF / "activation").glob("*.yaml"))]
# Where nothing follows the addition.
NO_OUT = ["act_before_add", "act_only_pre", "full_pre_activation", "no_act_after_add"]
WIDER = {"width": 12, "stride": 2}


def silenced(block: Block) -> Block:
    """The branch gives zero: its weights, biases, norms' shifts and means are."""
    with torch.no_grad():
        for name in block.branch_layers:
            for key, tensor in getattr(block, name).state_dict().items():
                tensor.copy_(torch.ones(()) if key == "running_var" else torch.zeros(()))
    return block.eval()


def padded(x: Tensor, channels: int) -> Tensor:
    """Every second pixel, zeros for channels 8 and on."""
    y = torch.zeros(x.shape[0], channels, x.shape[2] // 2, x.shape[3] // 2, dtype=x.dtype)
    for row, column in product(range(y.shape[2]), range(y.shape[3])):
        y[:, :8, row, column] = x[:, :, 2 * row, 2 * column]
    return y


def like(block: Block, other: Block) -> Block:
    """`block` with the weights that `other` has too."""
    assert not block.load_state_dict(other.state_dict(), strict=False).unexpected_keys
    return block.eval()


@pytest.mark.parametrize("shape", [{}, WIDER], ids=["same", "changed"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_zero_pad_and_identity_have_no_parameter(placement: str, shape: Any, make_block: MakeBlock) -> None:
    def names(shortcut: str) -> list[str]:
        return [n for n, _ in make_block(f"placement={placement}", f"shortcut={shortcut}", **shape).named_parameters()]

    assert names("zero_pad") == names("none")
    if not shape:
        assert names("projection") == names("none")


@pytest.mark.parametrize("placement", NO_OUT)
@pytest.mark.parametrize("shortcut", ["zero_pad", "projection"])
def test_silenced_branch_leaves_the_identity(shortcut: str, placement: str, make_block: MakeBlock, x: Tensor) -> None:
    block = silenced(make_block(f"placement={placement}", f"shortcut={shortcut}"))
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("placement", NO_OUT)
def test_silenced_branch_leaves_the_padding(placement: str, make_block: MakeBlock, x: Tensor) -> None:
    block = silenced(make_block(f"placement={placement}", "shortcut=zero_pad", **WIDER))
    assert torch.equal(block(x), padded(x, 12))


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("placement", NO_OUT)
def test_silenced_branch_leaves_the_projection(placement: str, norm: str, make_block: MakeBlock, x: Tensor) -> None:
    block = silenced(make_block(f"placement={placement}", f"norm={norm}", "shortcut=projection", **WIDER))
    h = block.pre(x)
    y = F.conv2d(h, block.shortcut.conv.weight, block.shortcut.conv.bias, stride=2)
    torch.testing.assert_close(block(x), block.shortcut.norm(y))


def test_silenced_plain_block_is_zero(make_block: MakeBlock, x: Tensor) -> None:
    assert not silenced(make_block("shortcut=none"))(x).any()


@pytest.mark.parametrize("shape", [{}, WIDER], ids=["same", "changed"])
@pytest.mark.parametrize("kind", ["exclusive_gating", "shortcut_gating"])
def test_gates_at_their_extremes(kind: str, shape: Any, make_block: MakeBlock, x: Tensor) -> None:
    """g = 0: the shortcut passes; g = 1: the branch alone. At g = 0 an exclusive gate shuts the branch."""
    block = make_block(f"shortcut={kind}", "placement=no_act_after_add", **shape).eval()
    alone = like(make_block("shortcut=none", "placement=no_act_after_add", **shape), block_branch(block))
    summed = like(make_block("shortcut=zero_pad", "placement=no_act_after_add", **shape), block_branch(block))
    nn.init.constant_(block.join.bias, -1e4)
    passed = padded(x, 12) if shape else x
    assert torch.equal(block(x), passed if kind == "exclusive_gating" else summed(x))
    nn.init.constant_(block.join.bias, 1e4)
    assert torch.equal(block(x), alone(x))


def block_branch(block: Block) -> nn.Module:
    """The block without its join's own parameters."""
    bare = nn.Module()
    for name, module in block.named_children():
        if name != "join":
            bare.add_module(name, module)
    return bare


@pytest.mark.parametrize("kind", ["exclusive_gating", "shortcut_gating"])
def test_gate_between_its_extremes(kind: str, make_block: MakeBlock, x: Tensor) -> None:
    """Per channel and position, of h (He et al. 2016, section 3.1)."""
    block = make_block(f"shortcut={kind}", "placement=full_pre_activation").eval()
    h = block.pre(x)
    g = torch.sigmoid(F.conv2d(h, block.join.conv.weight) + block.join.bias)
    f = block.branch(h)
    torch.testing.assert_close(block(x), (1 - g) * x + (g * f if kind == "exclusive_gating" else f))


@pytest.mark.parametrize("kind", ["exclusive_gating", "shortcut_gating"])
def test_gates_start_from_their_bias(kind: str, compose_cfg: Callable[..., DictConfig]) -> None:
    net = build.initialised_network(compose_cfg(f"shortcut={kind}", "shortcut.join.bias=-3"))
    assert all((block.join.bias == -3).all() for block in net.blocks)


def test_constant_scaling(make_block: MakeBlock, x: Tensor) -> None:
    scaled = make_block("shortcut=constant_scaling", "placement=no_act_after_add").eval()
    f = like(make_block("shortcut=none", "placement=no_act_after_add"), scaled)(x)
    torch.testing.assert_close(scaled(x), 0.5 * x + 0.5 * f)
    weighted = make_block(
        "shortcut=constant_scaling", "shortcut.join.shortcut=0.25", "shortcut.join.branch=2", **WIDER
    ).eval()
    f = weighted.branch(x)
    torch.testing.assert_close(weighted(x), F.relu(0.25 * padded(x, 12) + 2 * f))


def test_dropout_on_the_shortcut(make_block: MakeBlock, x: Tensor) -> None:
    """Nothing in eval; in training each element of the shortcut is dropped or doubled, none of the branch."""
    block = make_block("shortcut=dropout", "placement=no_act_after_add", "norm=none").eval()
    summed = like(make_block("shortcut=zero_pad", "placement=no_act_after_add", "norm=none"), block)
    assert torch.equal(block(x), summed(x))
    left = block.train()(x) - (summed(x) - x)
    dropped, doubled = left.abs() < 1e-12, (left - 2 * x).abs() < 1e-12
    assert (dropped ^ doubled).all() and 0.3 < dropped.double().mean() < 0.7


@pytest.mark.parametrize("shortcut", ["zero_pad", "constant_scaling", "dropout", "exclusive_gating"])
def test_zero_pad_cannot_narrow(shortcut: str, make_block: MakeBlock) -> None:
    with pytest.raises(InputError, match=r"cannot narrow 8 channels to 4.*shortcut=projection"):
        make_block(f"shortcut={shortcut}", width=4)


def test_full_pre_activation_ends_with_one_norm_and_one_activation(
    compose_cfg: Callable[..., DictConfig],
) -> None:
    net = build.initialised_network(compose_cfg("placement=full_pre_activation")).eval()
    assert list(dict(net.stem.named_children())) == ["conv"]
    assert list(dict(net.head.named_children())) == ["norm", "act", "pool", "flatten", "linear"]
    assert not any(len(block.out) for block in net.blocks)
    nn.init.uniform_(net.head.norm.running_mean)
    y = torch.randn(2, 64, 2, 2)
    normed = (y - net.head.norm.running_mean.view(-1, 1, 1)) / (1 + 1e-5) ** 0.5
    expected = F.linear(F.relu(normed).mean((2, 3)), net.head.linear.weight, net.head.linear.bias)
    torch.testing.assert_close(net.head(y), expected)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_stem_and_head_do_what_the_blocks_leave(placement: str, compose_cfg: Callable[..., DictConfig]) -> None:
    cfg = compose_cfg(f"placement={placement}")
    net = build.initialised_network(cfg)
    pre = list(cfg.placement.pre)
    assert list(dict(net.stem.named_children())) == ["conv", *(w for w in ("norm", "act") if w not in pre)]
    assert list(dict(net.head.named_children())) == [*pre, "pool", "flatten", "linear"]
    assert [block.split_after_pre for block in net.blocks] == ["act" in pre] + [False] * 8


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(
    ("norm", "activation"), [*((norm, "relu") for norm in NORMS), *(("none", act) for act in ACTIVATIONS)]
)
def test_activations_in_place_change_no_input(
    norm: str, activation: str, placement: str, make_block: MakeBlock, x: Tensor
) -> None:
    """Neither x nor a gradient: it is the same with every activation out of place."""
    overrides = f"placement={placement}", f"norm={norm}", f"activation={activation}"
    for shortcut, first in product(("zero_pad", "none"), (False, True)):
        block = make_block(*overrides, f"shortcut={shortcut}", first=first)
        gradients = []
        for inplace in (True, False):
            for module in block.modules():
                if hasattr(module, "inplace"):
                    module.inplace = module.inplace and inplace
            given = x.clone().requires_grad_()
            seen = given * 1  # a tensor in the middle of a network: torch lets one write into it
            y = block(seen)
            assert torch.equal(seen, x), (shortcut, first)
            gradients.append(torch.autograd.grad(y.square().sum(), [given, *block.parameters()]))
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "change",
    [
        "norm=group",
        "norm=none",
        "shortcut=projection",
        "shortcut=none",
        "placement=full_pre_activation",
        "model=resnet32",
        "activation=gelu",
        "block.depth=3",
        "head=pool_flatten",
        "model.widths=[16,16,64]",
    ],
)
def test_shared_layers_start_from_the_same_weights(change: str, compose_cfg: Callable[..., DictConfig]) -> None:
    """Common random numbers: whatever else differs, a layer of the same name and shape is the same."""
    small = "model.stages=[2,2,2]" if change != "model=resnet32" else "seed=0"

    def weights(*overrides: str) -> dict[str, Tensor]:
        net = build.initialised_network(compose_cfg(small, *overrides))
        layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
        return {name: layer.weight for name, layer in layers.items()}

    default, changed, other_seed = weights(), weights(change), weights("seed=1")
    shared = [n for n in default if n in changed and default[n].shape == changed[n].shape]
    assert len(shared) >= 6 and "stage1.block1.conv1" in shared
    assert all(torch.equal(default[name], changed[name]) for name in shared)
    assert not any(torch.equal(default[name], other_seed[name]) for name in default)
    torch.manual_seed(12345)
    assert all(torch.equal(default[name], again) for name, again in weights().items())


def test_init_tells_identity_blocks_apart(compose_cfg: Callable[..., DictConfig]) -> None:
    """Of "Residual Networks - Step by Step": uniform within 0.05 in identity blocks, Glorot everywhere else."""
    net = build.initialised_network(compose_cfg("init=glorot_but_identity_blocks", "model.stages=[2,2,2]"))
    for number, block in enumerate(net.blocks):
        for conv in (m for m in block.modules() if isinstance(m, nn.Conv2d)):
            fan = (conv.weight.shape[0] + conv.weight.shape[1]) * conv.weight[0, 0].numel()
            bound = (6 / fan) ** 0.5 if number in (2, 4) else 0.05
            assert 0.95 * bound < conv.weight.abs().max() <= bound
    assert 0.95 * (6 / 74) ** 0.5 < net.head.linear.weight.abs().max() <= (6 / 74) ** 0.5
