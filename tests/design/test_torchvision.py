"""ResNets and VGG against torchvision's: its weights give its logits, its loss and its gradients."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from ablate.design.network import Network

RESNETS = [
    "resnet18",
    "resnet34",
    "resnet50",
    pytest.param("resnet101", marks=pytest.mark.long),
    pytest.param("resnet152", marks=pytest.mark.long),
]


def resnet_name(ours: str) -> str:
    """`stage2.block1.conv2.weight` is torchvision's `layer2.0.conv2.weight`."""
    block = re.fullmatch(r"stage(\d)\.block(\d+)\.(.+)", ours)
    if not block:
        return ours.replace("head.linear", "fc").replace("stem.conv", "conv1").replace("stem.norm", "bn1")
    layer = block[3].replace("shortcut.conv", "downsample.0").replace("shortcut.norm.norm", "downsample.1")
    return f"layer{block[1]}.{int(block[2]) - 1}.{layer.replace('norm', 'bn')}"


def vgg_name(net: Network) -> Callable[[str], str]:
    """Torchvision numbers VGG's layers: conv, [norm], act for each convolution, one pooling per stage."""
    counted = nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d
    features = [name for name, module in net.named_modules() if isinstance(module, counted) and "head" not in name]
    names = {name: f"features.{number}" for number, name in enumerate(features)}
    names |= {"head.linear1": "classifier.0", "head.linear2": "classifier.3", "head.linear": "classifier.6"}

    def renamed(ours: str) -> str:
        layer, _, kind = ours.rpartition(".")
        return f"{names[layer]}.{kind}"

    return renamed


def pair(net: Network, theirs: nn.Module, renamed: Callable[[str], str]) -> tuple[Network, nn.Module]:
    """Both, from the meta device, in float64 with the same random weights, norms and biases included."""
    theirs = theirs.double().to_empty(device="cpu")
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in theirs.state_dict().values():
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5, generator=random)
            elif tensor.dim() > 1:
                bound = (6 / tensor[0].numel()) ** 0.5
                tensor.uniform_(-bound, bound, generator=random)
            else:
                tensor.zero_()
    # The parameters are shared, VGG's are a gigabyte; statistics move in training, each network has its own.
    weights = theirs.state_dict() | {name: buffer.clone() for name, buffer in theirs.named_buffers()}
    net.load_state_dict({name: weights.pop(renamed(name)) for name in net.state_dict()}, assign=True)
    assert not weights
    return net, theirs


def learned(module: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one training forward, and its gradients by parameter."""
    parameters = dict(module.named_parameters())
    loss = F.cross_entropy(module.train()(x), labels)
    return loss.detach(), dict(zip(parameters, torch.autograd.grad(loss, parameters.values()), strict=True))


def assert_same(net: Network, theirs: nn.Module, renamed: Callable[[str], str]) -> None:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=random)
    labels = torch.randint(0, 1000, (2,), generator=random)

    with torch.no_grad():
        logits, their_logits = net.eval()(x), theirs.eval()(x)
    assert_close("logits", logits, their_logits)
    assert logits.std() > 1e-3

    loss, gradients = learned(net, x, labels)
    their_loss, their_gradients = learned(theirs, x, labels)
    assert_close("loss", loss, their_loss)
    assert len(gradients) == len(their_gradients)
    for name, gradient in gradients.items():
        assert_close(name, gradient, their_gradients[renamed(name)])

    # The forward in training mode has moved the norms' statistics alike.
    statistics = theirs.state_dict()
    for name, buffer in net.named_buffers():
        assert_close(name, buffer, statistics[renamed(name)])


def assert_close(name: str, ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-10 of the largest element: sums in another order differ in proportion to it."""
    assert ours.shape == theirs.shape
    ours, theirs = ours.double(), theirs.double()
    difference, size = (float(torch.linalg.vector_norm(t, ord=torch.inf)) for t in (ours - theirs, theirs))
    assert difference <= 1e-10 * size, (name, difference, size)


@pytest.mark.parametrize("model", RESNETS)
def test_resnet(model: str, on_meta: Callable[..., Any]) -> None:
    net, _ = on_meta(f"model={model}", "data=image_folder")
    with torch.device("meta"):
        theirs = getattr(models, model)()
    assert numbers(net) == numbers(theirs)
    assert_same(*pair(net, theirs, resnet_name), resnet_name)


@pytest.mark.parametrize("norm", ["none", pytest.param("batch", marks=pytest.mark.long)])
def test_vgg16(norm: str, on_meta: Callable[..., Any]) -> None:
    net, _ = on_meta("model=vgg16", f"norm={norm}", "data=image_folder", "head.dropout=0")
    with torch.device("meta"):
        theirs = (models.vgg16_bn if norm == "batch" else models.vgg16)(init_weights=False, dropout=0.0)
    assert numbers(net) == numbers(theirs)
    renamed = vgg_name(net)
    assert_same(*pair(net, theirs, renamed), renamed)


def numbers(module: nn.Module) -> tuple[int, int]:
    """Parameters and norm statistics."""
    statistics = [b for b in module.buffers() if b.is_floating_point()]
    return sum(p.numel() for p in module.parameters()), sum(b.numel() for b in statistics)
