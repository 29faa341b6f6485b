"""What is composed from an earlier configuration that differs in plain values is what Hydra composes anew."""

from pathlib import Path
from unittest.mock import patch

import hydra
import pytest
from omegaconf import OmegaConf

from ablate.configuration import composition
from ablate.configuration.composition import composed
from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.engines import similar

register_resolvers()

OPTIONS = ["shortcut=projection data=digits", "experiment=he2015_resnet110", "model=torchvision recipe=he2016_cifar"]
VALUES = ["seed=3", "seed=4 optimizer.lr=1e-3", "tracking=offline runs_dir=here", "seed=5 seed=6"]
FOR_HYDRA = [
    "+trainer.profiler=simple seed=1",
    "tracking={project:mine} seed=2",
    "tracking.tags=[a,b]",
    "~trainer.precision",
    "data.root=${oc.env:HOME}",
    "hydra.job.name=mine",
    "seed=null",
    "stop_hopeless=0.5 stop_hopeless=null",
    "tracking.project=mine tracking={project:yours}",
]
REFUSED = ["optimizer.lrr=3", "norm=nrom seed=1", "seed=1,2", "trainer=5", "experiment=he2015_resnet110 a_group=3"]


@pytest.fixture(autouse=True)
def _hydra_composes_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the worker's compositions are compared with."""
    monkeypatch.setattr(composition, "compose", hydra.compose)


def everything(cfg):
    flags = [cfg._get_flag("struct"), cfg.hydra._get_flag("readonly")]
    return OmegaConf.to_container(cfg, resolve=False), OmegaConf.to_yaml(cfg), flags


@pytest.mark.parametrize("options", OPTIONS)
def test_it_is_what_hydra_composes(options: str) -> None:
    compose = similar.Similar()
    for values in [*VALUES, *FOR_HYDRA]:
        overrides = f"{options} {values}".split()
        for typed in (overrides, overrides[::-1]):
            assert everything(compose(typed)) == everything(composed(typed)), typed


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_hydra_refuses_is_refused_in_its_words(overrides: str) -> None:
    compose, typed = similar.Similar(), overrides.split()
    with pytest.raises(Exception) as by_hydra:
        composed(typed)
    with pytest.raises(type(by_hydra.value)) as found:
        compose(typed)
    assert str(found.value) == str(by_hydra.value)


def test_a_group_that_only_an_experiment_adds_is_no_value(tmp_path: Path) -> None:
    for name, text in {
        "experiment/with_group.yaml": "# @package _global_\ndefaults:\n  - /a_group: one\n",
        "a_group/one.yaml": "x: 1\n",
        "a_group/two.yaml": "x: 2\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    compose, path = similar.Similar(), f"hydra.searchpath=[file://{tmp_path}]"
    for option in ("one", "two"):
        typed = [path, "experiment=with_group", f"a_group={option}", "seed=1"]
        assert everything(compose(typed)) == everything(composed(typed))


def test_cells_that_differ_in_values_are_composed_once() -> None:
    compose = similar.Similar()
    compose(["norm=none", "seed=0"])
    with patch.object(similar, "composed", side_effect=AssertionError("composed again")):
        for seed in range(3):
            assert compose([f"seed={seed}", "norm=none", "optimizer.lr=0.5"]).seed == seed
