"""Networks and single blocks, made from conf/ as a run makes them."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from omegaconf import DictConfig

from ablate.design.block import Block
from ablate.design.convolution import PADDINGS
from ablate.design.network import Network
from ablate.design.placement import Parts
from ablate.training.assembly import network, part

MakeBlock = Callable[..., Block]


@pytest.fixture(scope="session")
def on_meta(compose_cfg: Callable[..., DictConfig]) -> Callable[..., tuple[Network, DictConfig]]:
    """on_meta("model=resnet18", …): the network without its weights, and its configuration."""

    def built(*overrides: str) -> tuple[Network, DictConfig]:
        cfg = compose_cfg(*overrides)
        with torch.device("meta"):
            return network(cfg), cfg

    return built


@pytest.fixture(scope="session")
def make_block(compose_cfg: Callable[..., DictConfig]) -> MakeBlock:
    """make_block("placement=original", …, in_channels=8, …): one block in float64.

    Every parameter and statistic is random, so that none hides behind a zero or a one.
    """
    composed = cache(compose_cfg)

    def made(*overrides: str, in_channels: int = 8, width: int = 8, stride: int = 1, first: bool = False) -> Block:
        cfg = composed(*overrides)
        parts = Parts(
            norm=part(cfg.norm),
            activation=part(cfg.activation),
            conv_bias=cfg.conv_bias,
            padding=PADDINGS[cfg.padding],
        )
        block = Block(
            in_channels,
            width,
            stride,
            first,
            branch=part(cfg.block),
            placement=part(cfg.placement),
            shortcut=part(cfg.shortcut),
            parts=parts,
        ).double()
        random = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, tensor in block.state_dict().items():
                if name.endswith("running_var"):
                    tensor.uniform_(0.5, 2, generator=random)
                elif tensor.is_floating_point():
                    tensor.normal_(std=0.3, generator=random)
        return block

    return made


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 8, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
