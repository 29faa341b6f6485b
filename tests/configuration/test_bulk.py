"""Composing in bulk gives what Hydra gives, one by one."""

import random
from pathlib import Path

import hydra
import pytest

from ablate.configuration import composition
from ablate.configuration.bulk import Composer
from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError

register_resolvers()

OPTIONS = {
    "model": ["resnet20", "resnet34", "resnet50", "vgg11"],  # each sets other axes too
    "shortcut": ["zero_pad", "projection", "none", "dropout"],
    "norm": ["batch", "none", "group"],  # none sets conv_bias
    "stem": ["auto", "conv7x7_pool"],
    "init": ["kaiming", "glorot_uniform", "random_uniform"],
    "data": ["digits", "cifar10"],
    "trainer": ["auto", "ddp"],
    "schedule": ["cosine", "multi_step"],
    "experiment": ["he2015_resnet110", "notebook_resnet34", "functional_basic", "stepwise_resnet50"],
}
VALUES = {
    "seed": ["1", "7"],
    "data.image_size": ["32", "224"],
    "optimizer.lr": ["0.1", "1", "1e-3"],
    "schedule.warmup.fraction": ["0.0", "0.25"],
    "model.stages": ["[1,1,1]", "[2,2]"],
    "channels_last": ["false"],
    "schedule.warmup": ["{fraction: 0.5}"],
    "+trainer.profiler": ["simple"],
    "tracking.tags": ["[a,b]"],
    "compile": ["default"],
}


@pytest.fixture(autouse=True)
def _hydra_composes_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the composer is compared with."""
    monkeypatch.setattr(composition, "compose", hydra.compose)


def drawn(seed: int) -> list[str]:
    """A few overrides, at random but the same ones every time."""
    draw = random.Random(seed)
    keys = draw.sample(sorted(OPTIONS), k=draw.randint(0, 4)) + draw.sample(sorted(VALUES), k=draw.randint(0, 4))
    return [f"{key}={draw.choice((OPTIONS | VALUES)[key])}" for key in keys]


def test_random_overrides_compose_as_by_hydra():
    composer = Composer()
    for seed in range(15):
        overrides = drawn(seed)
        assert composer(overrides) == Composition.of(overrides).values(), overrides


def test_a_users_own_interpolations_are_resolved(tmp_path: Path):
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "mine.yaml").write_text(
        "_target_: torch.nn.BatchNorm2d\n_partial_: true\neps: ${optimizer.lr}\nnear: ${.eps}\nlabel: lr ${norm.eps}\n"
    )
    overrides = [f"hydra.searchpath=[file://{tmp_path}]", "norm=mine", "optimizer.lr=0.25"]
    values = Composer()(overrides)
    assert values == Composition.of(overrides).values()
    assert values["norm"]["near"] == 0.25 and values["norm"]["label"] == "lr 0.25"


@pytest.mark.parametrize(
    "overrides",
    [
        ["stem.kernel=5"],  # interpolated by default
        ["data.seed=3"],
        ["+trainer.profiler=simple", "trainer.max_epochs=${seed}"],
        ["optimizer.lr=${optimizer.weight_decay}"],
        ["tracking.group=${model.stages[0]}"],
        ["schedule.warmup={fraction: 0.5}", "schedule.warmup.fraction=0.1"],
    ],
)
def test_values_that_refer_to_others(overrides: list[str]):
    assert Composer()(overrides) == Composition.of(overrides).values()


def test_interpolations_within_a_list(tmp_path: Path):
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "mine.yaml").write_text(
        "_target_: torch.nn.BatchNorm2d\n_partial_: true\nwide: ['${data.channels}', 3]\nfirst: ${model.stages[0]}\n"
    )
    overrides = [f"hydra.searchpath=[file://{tmp_path}]", "norm=mine", "seed=2"]
    values = Composer()(overrides)
    assert values == Composition.of(overrides).values()
    assert values["norm"]["wide"] == [1, 3]


def test_wrong_overrides_are_refused_as_by_hydra():
    with pytest.raises(InputError, match="a number is expected"):
        Composer()(["optimizer.lr=fast"])
    with pytest.raises(Exception, match=r"optimizer\.lrr"):
        Composer()(["optimizer.lrr=0.1"])
    with pytest.raises(Exception, match="projectoin"):
        Composer()(["shortcut=projectoin"])
