"""A model file with a `_target_` is the whole network: what it uses, what it is, what is refused."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hydra.errors import HydraException
from torch import nn

from ablate.comparison.gathering import from_plan, from_results
from ablate.comparison.results import find
from ablate.configuration import whole
from ablate.configuration.bulk import Composer
from ablate.configuration.composition import Composition
from ablate.configuration.refusals.wording import explained
from ablate.errors import InputError, WrongNameError
from ablate.runs import cell
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from ablate.training import build
from tests.whole.their_networks import Mixed


def test_it_trains_on_what_it_refers_to(their_cell):
    mixed = their_cell("model=mixed", "norm=group", "norm.groups=4")
    assert whole.absent(mixed.values) == set(whole.PARTS) - {"norm"}
    assert mixed.composition.choices.keys() & set(whole.PARTS) == {"norm"}
    assert mixed.composition.name.endswith(" model=mixed norm=group norm.groups=4")
    net = build.initialised_network(mixed.cfg)
    assert isinstance(net, Mixed) and isinstance(net.norm, nn.GroupNorm) and net.norm.num_groups == 4
    record, trained = cell.run(mixed)
    assert trained and record.status == "finished"
    assert record.cost["params"] == sum(p.numel() for p in net.parameters())
    assert record.cost["macs"] == 8 * 9 * 64 + 8 * 64 * 10
    assert record.provenance["code"].keys() >= {"tests/whole/their_networks.py"}
    assert not cell.run(their_cell("model=mixed", "norm=group", "norm.groups=4"))[1]
    assert set(yaml.safe_load((mixed.directory / "config.yaml").read_text())) & set(whole.PARTS) == {"norm"}


def test_what_decides_nothing_is_not_in_the_fingerprint(their_cell, typed):
    one, other = their_cell("model=perceptron"), their_cell("model=perceptron", "+model.width=17")
    assert one.fingerprint != other.fingerprint
    assert whole.absent(one.values) == set(whole.PARTS)
    for overrides in (["model=mixed"], ["model=mixed", "norm=none"], ["model=mixed", "+model.init=${init}"]):
        assert Composer()(typed(*overrides)) == Composition.of(typed(*overrides)).values()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=mixed", "shortcut=none"], "model=mixed does not use shortcut; it uses norm. Leave out shortcut."),
        (["model=mixed", "conv_bias=true"], "model=mixed does not use conv_bias; it uses norm."),
        (["model=mixed", "block.depth=3"], "model=mixed does not use block; it uses norm. Leave out block.depth."),
        (["model=perceptron", "init=glorot_uniform"], "model=perceptron does not use init; of block, "),
        (["model=perceptron", "+model.widht=3"], "model.widht=3: tests.whole.their_networks.Perceptron does not take"),
        (["model=perceptron", "model._target_=tests.whole.nothing"], "has no nothing."),
        (["model=perceptron", "pixels=1"], "pixels: there is no such axis or value. Did you mean model.pixels?"),
        (["model=torchvision", "model.foo=1"], "Here model has the keys: channels, name, num_classes."),
        (["model=perceptron", "model.widht=1"], "there is no such axis or value. Here model has the keys: classes, pi"),
        (["optimizer=adamw", "optimizer.momentm=1"], "there is no such axis or value. Here optimizer has the keys: be"),
        (["model=perceptron", "model.classes=11"], "the network returns numbers of shape (11,); 10 are expected"),
        (["model=empty"], "A model's file has stages and widths, or a _target_ that is the whole network."),
        *(
            ([f"model={name}"], message)
            for name, message in {
                "bare": "model: the network has no parameters",
                "frozen": "model: none of the network's 4 parameters is trained",
                "detached": "model: no gradient comes from the network's scores",
                "lazy": "model: the size of layer.weight is not known",
            }.items()
        ),
        (
            ["model=perceptron", "model._target_=argparse.Namespace"],
            "it returns Namespace; a torch.nn.Module is expected",
        ),
        (["model=nine"], "model: for each image the network returns numbers of shape (9,); 10 are expected"),
        (["model=perceptron", "model.pixels=63"], "the network cannot process images of 1x8x8: RuntimeError"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides, message, their_cell, tmp_path):
    for words in (overrides, overrides[::-1]):
        with pytest.raises((InputError, HydraException)) as caught:
            their_cell(*words)
        assert message in explained(caught.value)
    assert not (tmp_path / "runs").exists()


def doubled(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return 2 * nn.functional.cross_entropy(scores, labels)


def test_a_loss_of_the_users_may_read_more_scores_than_there_are_classes_but_the_accuracy_cannot(their_cell):
    words = ("model=perceptron", "model.classes=13", f"loss._target_={__name__}.doubled")
    chosen = their_cell(*words)
    with pytest.raises(InputError, match=r"metrics\.acc does not go with .*scores \(8, 13\)"):
        cell.run(chosen)
    assert not chosen.directory.exists()
    assert cell.run(their_cell(*words, "~metrics.acc", "~metrics.acc_top5"))[0].summary["test/loss"] > 0


@pytest.mark.parametrize(
    ("model", "word", "line"),
    [
        ("misspelt", "AttributeError", "return self.outt("),
        ("unbuildable", "NameError", "super().__init__(pixels, clas"),
    ],
)
def test_an_error_in_their_code_is_told_with_its_line(model, word, line, their_cell):
    with pytest.raises(InputError) as caught:
        their_cell(f"model={model}")
    message = explained(caught.value)
    where = re.search(r"\(([\w/.-]*their_networks\.py), line (\d+), in \w+: (.*)\)", message)
    assert where and word in message and where[3].startswith(line)
    assert line in Path(where[1]).read_text().splitlines()[int(where[2]) - 1]


def test_a_forgotten_folder_is_hinted_at(their_conf, monkeypatch):
    monkeypatch.chdir(their_conf.parent)
    with pytest.raises(Exception) as caught:
        Composition.of(["model=mixed"])
    assert "conf/model/mixed.yaml is there: type --config-dir conf too." in explained(caught.value)
    monkeypatch.chdir(their_conf)
    with pytest.raises(Exception) as caught:
        Composition.of(["model=mixde"])
    assert "(--config-dir DIR adds a folder of your own.)" in explained(caught.value)


def test_a_part_that_a_part_refers_to_is_used_too():
    values = {
        "model": {"_target_": "x", "inner": {"norm": "${..norm}", "own": "${.norm}"}},
        "norm": {"act": "${activation}"},
    }
    others = {"activation": {}, "shortcut": {}, "data": {"x": 1}}
    assert whole.unused(values | others) == set(whole.PARTS), "they refer to keys of the model's own"
    values["model"]["inner"]["norm"] = "${norm}"
    assert whole.unused(values | others) == set(whole.PARTS) - {"norm", "activation"}
    assert whole.unused({"model": {"stages": [1]}, **others}) == frozenset()


def test_initial_weights_are_of_this_runs_stream_or_of_the_axis(their_cell):
    """Its own, whatever has been drawn before; or the axis', layer by layer."""
    first = build.initialised_network(their_cell("model=mixed").cfg)
    torch.rand(7)
    again = build.initialised_network(their_cell("model=mixed").cfg)
    other = build.initialised_network(their_cell("model=mixed", "seed=1").cfg)
    assert torch.equal(first.shift, again.shift) and torch.equal(first.conv.weight, again.conv.weight)
    assert not torch.equal(first.conv.weight, other.conv.weight)
    chosen = their_cell("model=mixed", "+model.init=${init}", "init=random_uniform")
    assert "init" in chosen.values
    net = build.initialised_network(chosen.cfg)
    assert net.conv.weight.abs().max() <= 0.05 and not net.conv.bias.any() and torch.equal(net.shift, first.shift)
    assert first.conv.weight.abs().max() > 0.05


SWEEP = {
    "method": "grid",
    "parameters": {
        "model": {"values": ["resnet20", "mixed", "perceptron"]},
        "shortcut": {"values": ["zero_pad", "none"]},
        "norm": {"values": ["batch", "group"]},
        "seed": {"values": [0]},
    },
}


def test_a_sweep_over_networks_merges_what_comes_out_the_same(typed, tmp_path, simulate):
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(SWEEP, sort_keys=False))
    cells = plan(SweepFile.read(file), typed())
    names = [found.name for found in cells]
    assert names == [
        *(f"model=resnet20 shortcut={s} norm={n} seed=0" for s in ("zero_pad", "none") for n in ("batch", "group")),
        *(f"model=mixed norm={n} seed=0" for n in ("batch", "group")),
        "model=perceptron seed=0",
    ]
    assert [len(found.same) for found in cells] == [0, 0, 0, 0, 1, 1, 3]
    assert all(found.status == "to do" and found.params for found in cells)
    for found in cells:
        assert cell.prepare(Composition.of(found.overrides)).fingerprint == found.fingerprint
    comparison = from_plan(cells, SweepFile.read(file))
    assert [v.choices for v in comparison.variants if v.assignment["model"] == "mixed"] == [
        {"model": "mixed", "norm": "batch"},
        {"model": "mixed", "norm": "group"},
    ]
    assert [v.label for v in comparison.variants][4:] == ["model=mixed", "model=mixed norm=group", "model=perceptron"]


def test_a_choice_of_no_network_is_a_wrong_file(typed, tmp_path):
    file = tmp_path / "sweep.yaml"
    swept = {"model": {"values": ["perceptron", "mixed"]}, "shortcut": {"values": ["none", "zero_pad"]}}
    file.write_text(yaml.safe_dump({"method": "grid", "parameters": swept}, sort_keys=False))
    with pytest.raises(WrongNameError, match="shortcut: no model of this sweep uses it"):
        plan(SweepFile.read(file), typed())


def test_a_report_of_runs_has_no_column_for_what_a_network_lacks(their_cell, tmp_path):
    small = ["model.stages=[1,1,1]", "model.widths=[4,8,8]"]
    for overrides in (["model=perceptron"], ["model=mixed"], small, [*small, "shortcut=none"]):
        cell.run(their_cell(*overrides, "trainer.max_epochs=1"))
    comparison = from_results(find([tmp_path / "runs"]), "runs")
    assert [(v.label, v.choices.get("shortcut")) for v in comparison.variants] == [
        ("baseline", "zero_pad"),
        ("shortcut=none", "none"),
        ("model=mixed", None),
        ("model=perceptron", None),
    ]
    for variant in comparison.variants:
        assert not any("also differs" in warning for warning in variant.confounds), variant.confounds


def test_a_network_that_views_its_images_gets_them_in_torchs_own_layout(their_cell, write_cifar, tmp_path):
    """`view` refuses channels-last images, which this project's own networks get."""
    write_cifar(tmp_path, 10)
    data = ["data=cifar10", f"data.root={tmp_path}", "trainer.max_epochs=1", "+trainer.limit_train_batches=2"]
    chosen = their_cell("model=perceptron", "model.pixels=3072", *data)
    assert chosen.cfg.channels_last and chosen.cfg.data.channels_last
    assert cell.run(chosen)[0].status == "finished"


def test_an_edited_forward_is_noticed(their_cell, tmp_path, monkeypatch):
    module = tmp_path / "their_edited.py"
    text = "from tests.whole.their_networks import Perceptron\nclass Net(Perceptron):\n    def forward(self, x):\n"
    module.write_text(f"{text}        return super().forward(x)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    overrides = ["model=perceptron", "model._target_=their_edited.Net", "trainer.max_epochs=1"]
    trained = their_cell(*overrides)
    assert cell.run(trained)[1] and not cell.run(their_cell(*overrides))[1]
    module.write_text(f"{text}        return super().forward(2 * x)\n")
    monkeypatch.delitem(sys.modules, "their_edited")
    with pytest.raises(InputError, match=r"is outdated: since its run was trained, their_edited\.py changed"):
        cell.run(their_cell(*overrides))
    record, again = cell.run(their_cell(*overrides, "rerun=true"))
    assert again and record.status == "finished"
