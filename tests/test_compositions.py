"""What tests compose is what Hydra composes."""

import hydra
import pytest
from hydra import initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import OmegaConf

from ablate.configuration.resolvers import register_resolvers
from ablate.paths import CONF
from tests.compositions import Remembered

TYPED = [
    [],
    ["norm=none", "runs_dir=/tmp/a", "optimizer.lr=0.1"],
    ["optimizer.lr=1e-3", "norm=none", "model.stages=[1,1,1]", "tracking.name='a b, c'"],
    ["experiment=he2015_resnet20", "seed=3", "block.depth=3"],
    ["recipe=he2015_cifar", "optimizer.lr=0.2"],
    ["data=image_folder", "data.root=${oc.env:HOME}", "+trainer.limit_train_batches=3", "~trainer.devices"],
    ["+norm.extra={a:1}", "norm.extra.a=2", "++norm.extra.b=[1,2]", "optimizer=adam"],
    ["norm=group", "optimizer.lr=0.1", "optimizer.lr=0.3"],
    ["hydra.verbose=true", "seed=1"],
    ["~stem.stride", "seed=1"],
]
REFUSED = [
    ["norm=no_such"],
    ["+recipe=he2015_cifar"],
    ["optimizer.lrr=1"],
    ["norm=none", "+seed=1"],
    ["norm={a:1}"],
    ["model.stages=[1"],
    ["seed@x=1"],
    ["seed=1,2"],
    ["~tracking.nothing"],
    ["seed.a=1"],
]


@pytest.fixture(scope="module")
def both():
    """Hydra, and a function that remembers what it has composed."""
    register_resolvers()
    remembered = Remembered()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in TYPED:
            remembered("config", overrides)
        yield hydra.compose, remembered


@pytest.mark.parametrize("overrides", TYPED, ids=" ".join)
def test_a_remembered_composition_is_hydras(both, monkeypatch, tmp_path, overrides):
    theirs, ours = both
    monkeypatch.chdir(tmp_path)
    for with_hydra in (True, False, True):
        seen, expected = (compose("config", overrides, return_hydra_config=with_hydra) for compose in (ours, theirs))
        assert OmegaConf.to_yaml(seen) == OmegaConf.to_yaml(expected)
        for is_set in (OmegaConf.is_struct, OmegaConf.is_readonly):
            assert [is_set(cfg) for cfg in (seen, seen.model)] == [is_set(cfg) for cfg in (expected, expected.model)]
        seen.seed = 17  # it is the caller's own


@pytest.mark.parametrize("overrides", REFUSED, ids=" ".join)
def test_what_hydra_refuses_is_refused_in_its_words(both, overrides):
    said = []
    for compose in both:
        with pytest.raises((HydraException, ConfigCompositionException)) as refused:
            compose("config", overrides)
        said.append((type(refused.value), str(refused.value), type(refused.value.__cause__)))
    assert said[0] == said[1]
