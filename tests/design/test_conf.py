"""Every file of conf/ on the design's axes, and every experiment: it composes, builds and learns."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import nn

from ablate.errors import InputError
from ablate.training import build
from ablate.training.assembly import network

CONF = Path(__file__).parents[2] / "conf"
# The documents and papers that networks come from, as the project calls them.
SOURCE = (
    r'("(ResNet networks|Residual Networks - Step by Step|Working with Residual Connections|deep residual network)"'
    r"|He et al\. 201[56])"
)
AXES = ["model", "block", "shortcut", "norm", "stem", "transition", "head", "placement", "activation", "init"]
OPTIONS = [f"{axis}={file.stem}" for axis in AXES for file in sorted((CONF / axis).glob("*.yaml"))]
EXPERIMENTS = [f"experiment={file.stem}" for file in sorted((CONF / "experiment").glob("*.yaml"))]
RESIZED = re.compile(r"data\.image_size=\d+")


def shrunk(cfg: DictConfig) -> DictConfig:
    """The same design with at most two blocks a stage, at most 8 channels wide: no kind of layer is lost."""
    if "_target_" in cfg.model:
        return cfg
    cfg.model.stages = [min(blocks, 2) for blocks in cfg.model.stages]
    narrowest = min(cfg.model.widths)
    cfg.model.widths = [min(8, 4 * width // narrowest) for width in cfg.model.widths]
    if "hidden" in cfg.head:
        cfg.head.hidden = [16 for _ in cfg.head.hidden]
    return cfg


def learn(cfg: DictConfig) -> nn.Module:
    """The initialised network after a backward: every parameter has a finite gradient, most not zero."""
    net = build.initialised_network(cfg)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, cfg.data.channels, cfg.data.image_size, cfg.data.image_size, generator=random)
    scores = net(x)
    assert scores.shape == (2, cfg.data.num_classes)
    F.cross_entropy(scores, torch.tensor([0, 1])).backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not missing
    moving = [p for p in net.parameters() if p.grad is not None and p.grad.any()]
    # Other libraries start branches at zero, before which no gradient arrives at first.
    assert len(moving) > (0.6 if "_target_" in cfg.model else 0.8) * len(list(net.parameters()))
    return net


def test_the_axes_are_there() -> None:
    assert len(EXPERIMENTS) > 30 and {option.partition("=")[0] for option in OPTIONS} == set(AXES)


@pytest.mark.parametrize("option", OPTIONS)
def test_option_learns(option: str, compose_cfg: Callable[..., DictConfig]) -> None:
    learn(shrunk(compose_cfg(option, "data.image_size=32")))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_learns(experiment: str, compose_cfg: Callable[..., DictConfig]) -> None:
    """At its own channels and classes, on as few pixels as its header says."""
    size = RESIZED.findall(header(experiment))
    learn(shrunk(compose_cfg(experiment, *(size or ["data.image_size=32"]))))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_on_the_embedded_data(experiment: str, compose_cfg: Callable[..., DictConfig]) -> None:
    """It builds, or is refused for its size, and builds at the size that the refusal and the file's header name."""

    def build_on_digits(*overrides: str) -> None:
        cfg = shrunk(compose_cfg(experiment, "data=digits", *overrides))  # depth and width do not change the maps
        with torch.device("meta"):
            network(cfg)

    try:
        build_on_digits()
    except InputError as error:
        (fits,) = RESIZED.findall(str(error))
        assert RESIZED.findall(header(experiment)) == [fits]
        build_on_digits(fits)


@pytest.mark.parametrize("file", [*CONF.glob("experiment/*.yaml")], ids=lambda file: file.stem)
def test_experiment_names_its_source_and_its_command(file: Path) -> None:
    text = file.read_text()
    assert re.search(rf"^# {SOURCE}", text, re.MULTILINE)
    assert f"# python -m ablate experiment={file.stem}\n" in text


def header(experiment: str) -> str:
    """The comments at the top of the experiment's file."""
    text = (CONF / "experiment" / f"{experiment.partition('=')[2]}.yaml").read_text()
    return " ".join(line for line in text.splitlines() if line.startswith("#"))
