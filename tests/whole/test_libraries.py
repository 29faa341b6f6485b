"""torchvision's and timm's networks by their names."""

import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ablate.comparison.confounds import mixtures
from ablate.configuration.refusals.wording import explained
from ablate.design.libraries import timm_model
from ablate.errors import InputError
from ablate.runs import cell
from ablate.training import build


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=torchvision", "model.name=mobilenet_v3_small"],
        ["model=torchvision", "model.name=squeezenet1_1", "+model.dropout=0.1", "data.image_size=32"],
        ["model=timm", "model.name=resnet10t"],
        ["model=timm", "model.name=vit_tiny_patch16_224", "+model.img_size=8", "+model.patch_size=4", "+model.depth=2"],
    ],
)
def test_they_learn(overrides, their_cell):
    """From random weights of this run's seed, grey images included."""
    chosen = their_cell(*overrides, "data.batch_size=16")
    net, again = (build.initialised_network(chosen.cfg) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    size = chosen.cfg.data.image_size
    x = torch.randn(16, 1, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 10
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        losses.append(F.cross_entropy(net(x), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    assert chosen.cost.params == sum(p.numel() for p in net.parameters()) and chosen.cost.macs > 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=torchvision", "model.name=mobilnet_v3_small"], "Did you mean mobilenet_v3_small?"),
        (
            ["model=timm", "model.name=resnet10"],
            "model.name=resnet10: timm has no such model. Did you mean resnet101 or resnet10t?",
        ),
        (["model=torchvision", "model.name=fcn_resnet50"], "torchvision has no such model."),
        (["model=torchvision", "model.name=resnet18", "+model.dropuot=1"], "unexpected keyword argument 'dropuot'"),
        (
            ["model=torchvision", "model.name=googlenet", "data.image_size=64"],
            "returns GoogLeNetOutputs; a tensor of scores is expected",
        ),
        (["model=torchvision", "+model.dropuot=1"], "mobilenet_v3_small does not take it. Did you mean dropout?"),
        (["model=torchvision", "model.name=convnext_tiny", "+model.x=1"], "convnext_tiny does not take it."),
        (["model=torchvision", "norm=none"], "model=torchvision does not use norm"),
        (["model=torchvision", "data.channels=2", "data.mean=[0,0]", "data.std=[1,1]"], "reads images of 3 channels"),
    ],
)
def test_what_they_do_not_have_is_refused(overrides, message, their_cell):
    with pytest.raises(Exception) as caught:
        their_cell(*overrides)
    assert message in explained(caught.value)


def test_what_a_model_reads_of_many_is_taken(their_cell):
    """torchvision's mobilenet_v3 passes its width on to a function, and every layer's norm to its class."""
    narrow = their_cell("model=torchvision", "+model.width_mult=0.5", "+model.norm_layer=${norm}", "norm=group")
    plain = their_cell("model=torchvision")
    assert narrow.cost.params < 0.5 * plain.cost.params
    kinds = {type(module) for module in build.initialised_network(narrow.cfg).modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds


def test_timm_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'ablate-resnet\[timm\]'"):
        timm_model("resnet10t", channels=1, num_classes=10)


def test_a_run_of_one(their_cell):
    record, _ = cell.run(their_cell("model=torchvision", "trainer.max_epochs=1"))
    assert record.status == "finished" and record.provenance["code"] == {}
    assert record.provenance["packages"]["torchvision"] == version("torchvision")
    assert "timm" not in record.provenance["packages"]


def test_timms_version_is_on_record_and_compared_among_its_networks_alone(their_cell):
    tiny = ("model.name=test_resnet", "trainer.max_epochs=1", "+trainer.limit_train_batches=1")
    record, _ = cell.run(their_cell("model=timm", *tiny))
    assert record.provenance["packages"]["timm"] == version("timm")

    def run(packages: dict[str, str]) -> SimpleNamespace:
        provenance = {**record.provenance, "packages": packages}
        return SimpleNamespace(record=SimpleNamespace(provenance=provenance))

    packages = {key: value for key, value in record.provenance["packages"].items() if key != "timm"}
    one, other, none = run(packages | {"timm": "1.0"}), run(packages | {"timm": "1.1"}), run(packages)
    assert mixtures([one, none, one]) == {}
    assert mixtures([one, none, other]) == {"network library": {"timm 1.0": 1, "timm 1.1": 1}}
