"""Any combination of options and sizes trains, or is refused with a reason.

Trainer and tracking leave the steps as they are, and other data than the smallest only take longer: they are left out.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra.errors import InstantiationException
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ablate.errors import InputError
from ablate.training import assembly, build
from ablate.training.module import decayed_groups
from ablate.training.objective import named

CONF = Path(__file__).parents[2] / "conf"
AXES = ["model", "block", "shortcut", "norm", "stem", "transition", "head", "placement", "activation", "init"]
AXES += ["optimizer", "schedule"]
FILES = {axis: sorted((CONF / axis).glob("*.yaml")) for axis in AXES}
# A model with a `_target_` is a whole network: it is not made of these choices.
FILES["model"] = [file for file in FILES["model"] if "_target_" not in yaml.safe_load(file.read_text(encoding="utf-8"))]
OPTIONS = {axis: [file.stem for file in files] for axis, files in FILES.items()}


@st.composite
def designs(draw: st.DrawFn) -> list[str]:
    """One option of every axis, and sizes small enough to train in a moment; some widths narrow."""
    drawn = {axis: draw(st.sampled_from(options)) for axis, options in OPTIONS.items()}
    widths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    if draw(st.booleans()):
        widths = sorted(widths)
    stages = [draw(st.integers(1, 2)) for _ in widths]
    values = {
        "block.depth": draw(st.integers(1, 4)),
        "block.stride_on": draw(st.sampled_from(["first", "spatial"])),
        "conv_bias": draw(st.sampled_from(["true", "false"])),
        "padding": draw(st.sampled_from(["both", "same"])),
        "model.stages": str(stages).replace(" ", ""),
        "model.widths": str(widths).replace(" ", ""),
        "data.image_size": draw(st.integers(8, 32)),
        "seed": draw(st.integers(0, 3)),
        "weight_decay_on": draw(st.sampled_from(["all", "weights"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1])),
        "schedule.warmup.fraction": draw(st.sampled_from([0.0, 0.3])),
        # Small: a network without norm may start from scores in the hundreds.
        "optimizer.lr": 1e-3,
        "optimizer.fused": draw(st.sampled_from(["true", "false"])),
    }
    if drawn["head"] == "vgg":
        values["head.hidden"] = "[8]"
    return [f"{key}={value}" for key, value in (drawn | values).items()]


def trains(overrides: list[str], compose_cfg: Callable[..., DictConfig]) -> None:
    cfg = compose_cfg(*overrides)
    try:
        net = build.initialised_network(cfg)
    except (InputError, InstantiationException) as error:
        reason = error if isinstance(error, InputError) else error.__cause__
        # The reason names what to type instead.
        assert isinstance(reason, InputError) and re.search(r"[a-z_.]+=\w+", str(reason)), error
        event("refused")
        return

    event("trained")
    random = torch.Generator().manual_seed(0)
    size = cfg.data.image_size
    x = torch.randn(4, cfg.data.channels, size, size, generator=random)
    labels = torch.tensor([0, 1, 2, 3])
    optimizer = assembly.part(cfg.optimizer)(decayed_groups(net, cfg.weight_decay_on))
    schedulers = [config["scheduler"] for config in named.schedule(cfg)(optimizer, 10, 5)]
    losses: list[float] = []
    for _ in range(3):
        optimizer.zero_grad()
        torch.manual_seed(0)  # dropout alike in every step: the loss changes by training alone
        loss = F.cross_entropy(net(x), labels, label_smoothing=cfg.label_smoothing)
        losses.append(loss.item())
        loss.backward()
        assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        if len(losses) < 3:
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step(*([losses[-1]] if isinstance(scheduler, ReduceLROnPlateau) else []))
    # Even where every ReLU is dead, the last bias moves, and the loss with it.
    assert torch.tensor(losses).isfinite().all()
    assert losses[0] != losses[1] != losses[2]


EXAMPLES = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None)


@settings(EXAMPLES, max_examples=20)
@given(overrides=designs())
def test_any_design(overrides: list[str], compose_cfg: Callable[..., DictConfig]) -> None:
    trains(overrides, compose_cfg)


@pytest.mark.long
@settings(EXAMPLES, max_examples=300, derandomize=False)
@given(overrides=designs())
def test_many_designs(overrides: list[str], compose_cfg: Callable[..., DictConfig]) -> None:
    trains(overrides, compose_cfg)
