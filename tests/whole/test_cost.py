"""What a network of the user's costs, and what its forward tells."""

import pytest
import torch
from torch import nn
from torchvision import models

from ablate.design.cost import cost
from ablate.design.forward import forward
from ablate.design.whole_cost import whole_cost
from ablate.training import build
from ablate.training.assembly import network
from ablate.training.gradients.norms import GradientNorms
from tests.whole.their_networks import Mixed

DESIGNS = ["norm=batch", "norm=none", "shortcut=exclusive_gating activation=gelu", "model=vgg11 data.image_size=32"]


@pytest.mark.parametrize("design", DESIGNS)
def test_it_is_counted_as_this_projects_own_are(design, compose_cfg):
    cfg = compose_cfg(*design.split())
    with torch.device("meta"):
        net = network(cfg)
    ours, stages = cost(net, 1, cfg.data.image_size)
    total, parts = whole_cost(net, 1, cfg.data.image_size)
    names = ("shape", "params", "buffers", "macs", "activation_bytes")
    assert [getattr(total, name) for name in names] == [getattr(ours, name) for name in names]
    assert list(parts) == [name for name, stage in stages.items() if name in parts]
    for stage, part in parts.items():
        assert [getattr(part, name) for name in names] == [getattr(stages[stage], name) for name in names]


@pytest.mark.parametrize(
    ("name", "macs", "params"), [("mobilenet_v3_small", 56.5e6, 2_542_856), ("vit_b_16", 17.56e9, 86_567_656)]
)
def test_published_counts(name, macs, params):
    """torchvision's own tables, of 224 pixels: 0.06 and 17.56 billion operations."""
    with torch.device("meta"):
        total, _ = whole_cost(getattr(models, name)(), 3, 224)
    assert total.params == params and abs(total.macs / macs - 1) < 0.01


class Picky(nn.Module):
    """Reads a number while it runs, which meta tensors do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.linear = nn.Flatten(), nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(self.flat(x)) if float(x.sum()) > -1e9 else None


def test_a_network_that_meta_tensors_do_not_suit_is_counted_all_the_same(their_cell):
    chosen = their_cell("model=perceptron", "model._target_=tests.whole.test_cost.make_picky")
    assert (chosen.cost.params, chosen.cost.macs, chosen.cost.shape) == (650, 640, (10,))
    net = build.initialised_network(chosen.cfg)
    assert GradientNorms(net).layers == ["linear"] and not build.has_channels_last(net, chosen.cfg)


def make_picky(pixels, classes, width=0, scale=0):
    return Picky()


def test_layers_stand_in_the_order_in_which_they_ran(their_cell):
    """Though the head is registered first; and what the network itself owns has a name."""
    net = build.initialised_network(their_cell("model=mixed").cfg)
    assert next(name for name, _ in net.named_children()) == "head"
    measured = GradientNorms(net)
    assert measured.layers == ["conv", "norm", "shift", "head"]
    assert measured.depths == [0, 1 / 3, 2 / 3, 1]
    assert [layer.kind for layer in measured.described] == ["matrix", "norm", "other", "matrix"]
    net(torch.randn(2, 1, 8, 8)).sum().backward()
    by_hand = [net.conv.weight.grad.square().sum() + net.conv.bias.grad.square().sum(), net.shift.grad.square().sum()]
    norms = measured.measure()
    assert norms[[0, 2]].square().tolist() == pytest.approx([float(square) for square in by_hand], rel=1e-5)


def test_channels_last_where_it_helps(their_cell):
    def is_last(*overrides: str) -> bool:
        chosen = their_cell(*overrides)
        net = build.initialised_network(chosen.cfg)
        kernels = [p for p in net.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
        moved = all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
        assert build.has_channels_last(net, chosen.cfg) == moved or not kernels
        return build.has_channels_last(net, chosen.cfg)

    assert is_last("model=torchvision") and is_last()
    assert not is_last("model=torchvision", "channels_last=false")
    assert not is_last("model=perceptron"), "no convolution, and `view` refuses such images"
    assert not is_last("model=timm", "model.name=vit_tiny_patch16_224", "+model.img_size=8", "+model.patch_size=4")
    seen = forward(Mixed(3, 8, 10, nn.BatchNorm2d), (3, 8, 8), torch.channels_last)
    assert seen.convolutional and seen.order[0] == "conv.weight"


def test_a_look_at_it_leaves_a_network_as_it_is():
    net = Mixed(1, 8, 10, nn.BatchNorm2d)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.get_rng_state()
    forward(net, (1, 8, 8), torch.contiguous_format)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and net.training
