"""The five blocks of "Working with Residual Connections", line by line in functional torch code, equal weights."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn

from ablate.design.network import Network
from ablate.training import build

Conv = Callable[[int, Tensor], Tensor]
# Keras's BatchNormalization: epsilon 1e-3, momentum 0.99.
EPS = 1e-3


def residual_block(conv: Conv, norm: Conv, input_tensor: Tensor) -> Tensor:
    conv1 = F.relu(conv(1, input_tensor))
    conv2 = F.relu(conv(2, conv1))
    return conv2 + input_tensor


def residual_block_with_activation(conv: Conv, norm: Conv, input_tensor: Tensor) -> Tensor:
    conv1 = conv(1, input_tensor)
    conv2 = conv(2, conv1)
    added = conv2 + input_tensor
    return F.relu(added)


def residual_block_with_batchnorm(conv: Conv, norm: Conv, input_tensor: Tensor) -> Tensor:
    conv1 = conv(1, input_tensor)
    norm1 = norm(1, conv1)
    relu1 = F.relu(norm1)
    conv2 = conv(2, relu1)
    norm2 = norm(2, conv2)
    added = norm2 + input_tensor
    return F.relu(added)


def expanded_residual_block(conv: Conv, norm: Conv, input_tensor: Tensor) -> Tensor:
    conv1 = F.relu(conv(1, input_tensor))
    conv2 = F.relu(conv(2, conv1))
    conv3 = conv(3, conv2)
    added = conv3 + input_tensor
    return F.relu(added)


def identity_residual_block(conv: Conv, norm: Conv, input_tensor: Tensor) -> Tensor:
    return conv(1, input_tensor) + input_tensor


METHODS = {
    "basic": residual_block,
    "activation": residual_block_with_activation,
    "batchnorm": residual_block_with_batchnorm,
    "expand_contract": expanded_residual_block,
    "direct": identity_residual_block,
}


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def net(method: str, compose_cfg: Callable[..., DictConfig]) -> Network:
    return build.initialised_network(compose_cfg(f"experiment=functional_{method}")).double()


def test_block(method: str, net: Network) -> None:
    """Output and gradients, training, of a middle block with random biases, norms' scales and shifts."""
    random = torch.Generator().manual_seed(0)
    block = net.stage1.block2.train()
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.dim() == 1:
                parameter.normal_(generator=random)
    x = torch.randn(2, 64, 7, 7, dtype=torch.float64, generator=random)
    w = dict(block.named_parameters())

    def conv(number: int, x: Tensor) -> Tensor:
        weight = w[f"conv{number}.weight"]
        return F.conv2d(x, weight, w[f"conv{number}.bias"], padding="same")

    def norm(number: int, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, w[f"norm{number}.weight"], w[f"norm{number}.bias"], training=True, eps=EPS)

    ours, theirs = block(x), METHODS[method](conv, norm, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    downstream = torch.randn(ours.shape, dtype=torch.float64, generator=random)
    for mine, hers in zip(
        torch.autograd.grad(ours, w.values(), downstream),
        torch.autograd.grad(theirs, w.values(), downstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, hers, rtol=1e-10, atol=1e-10)


def test_network(method: str, net: Network) -> None:
    """Three stages of six 3x3 or 1x1 convolutions behind a 3x3 stem to 64 channels; nothing else is learned."""
    kinds = {name.split(".")[0] for name, _ in net.named_parameters()}
    assert kinds == {"stem", "stage1", "stage2", "stage3", "head"}
    assert net.stem.conv.weight.shape[0] == 64 and net.stem.conv.kernel_size == (3, 3)
    stages = [getattr(net, name).modules() for name in net.stage_names]
    assert [sum(isinstance(part, nn.Conv2d) for part in stage) for stage in stages] == [6, 6, 6]
    assert not [name for name, _ in net.named_parameters() if "shortcut" in name or "transition" in name]
