"""What a forward keeps for the backward: by hand, and as torch keeps it for batches of two sizes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ablate.design.cost import cost
from ablate.design.network import Network
from ablate.training.assembly import network


def test_by_hand(on_meta: Callable[..., Any]) -> None:
    """Stem, one block of two convolutions of 4 channels, head; 8x8 grey images. A convolution keeps its input, a norm
    too, an activation in place its output, which the next convolution reads. Statistics are those of the batch."""
    net, _ = on_meta("model.stages=[1]", "model.widths=[4]")
    total, stages = cost(net, 1, 8)
    image, feature_map = 8 * 8, 4 * 8 * 8
    floats = {
        "stem": image + 2 * feature_map,  # the norm's input, the activation's output
        "stage1": 4 * feature_map,  # two norms' inputs, two activations' outputs
        "head": 4,  # the linear layer's input
    }
    assert {name: stage.activation_bytes for name, stage in stages.items()} == {n: 4 * k for n, k in floats.items()}
    assert total.activation_bytes == 4 * sum(floats.values())


def kept(net: Network, x: Tensor) -> int:
    """Bytes of all that torch keeps for the backward, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in net.parameters()}
    saved: dict[int, Tensor] = {}  # which keeps them alive: no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        saved.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        y = net(x)
    del y
    return sum(tensor.untyped_storage().nbytes() for address, tensor in saved.items() if address not in parameters)


@pytest.mark.parametrize(
    "design",
    [
        "norm=batch",
        "norm=group",
        "norm=none",
        "shortcut=projection",
        "shortcut=projection padding=same",
        "shortcut=exclusive_gating activation=gelu",
        "shortcut=dropout placement=full_pre_activation",
        "model=resnet50 block.stride_on=first stem=conv7x7_pool model.stages=[1,1] model.widths=[4,8]",
    ],
)
def test_as_torch_keeps_it(design: str, compose_cfg: Callable[..., DictConfig]) -> None:
    """What three more images add, a third of it."""
    size = 32
    cfg = compose_cfg("data.image_size=32", *design.split())
    with torch.device("meta"):
        total, _ = cost(network(cfg), 1, size)
    net = network(cfg)
    fewer, more = (kept(net, torch.randn(images, 1, size, size)) for images in (3, 6))
    assert total.activation_bytes == (more - fewer) / 3
