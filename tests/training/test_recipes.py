"""Every optimizer, schedule and trainer in conf/ trains; and what the other words of a recipe do."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image

from ablate.configuration.bulk import Composer
from ablate.configuration.composition import CONF, Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.runs import cell
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from ablate.training import build
from ablate.training.module import decayed_groups

GPUS = torch.cuda.device_count()


def files(axis: str) -> list[str]:
    return sorted(path.stem for path in (CONF / axis).glob("*.yaml"))


def metrics(chosen: cell.Cell) -> list[tuple[int, int, str, float]]:
    rows = pq.read_table(chosen.directory / "metrics.parquet").to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def series(chosen: cell.Cell, name: str) -> list[float]:
    return [value for _, _, metric, value in metrics(chosen) if metric == name]


def trained(chosen: cell.Cell) -> dict[str, Any]:
    result, _ = cell.run(chosen)
    assert result.status == "finished"
    epochs = chosen.cfg.trainer.max_epochs
    for name in ("train/loss", "train/acc", "val/loss", "val/acc"):
        assert len(series(chosen, name)) == epochs
    assert np.isfinite([value for *_, value in metrics(chosen)]).all()
    return result


@pytest.mark.parametrize("name", files("optimizer"))
def test_every_optimizer_trains(prepared, name):
    chosen = prepared(f"optimizer={name}", "trainer.max_epochs=2", "optimizer.lr=0.01")
    trained(chosen)
    losses = series(chosen, "train/loss")
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", files("schedule"))
def test_every_schedule_trains(prepared, name):
    trained(prepared(f"schedule={name}", "trainer.max_epochs=2", "schedule.warmup.fraction=0.2"))


# What a machine without a GPU needs typed beside the option.
ON_CPU = {"ddp": ["trainer.accelerator=cpu", "trainer.devices=2"]}


# Some 15 s. tests/training/test_processes.py trains with it too.
LONG = {"ddp": pytest.mark.long}


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG.get(name, ())) for name in files("trainer")])
def test_every_trainer_trains_or_says_what_it_lacks(prepared, name):
    overrides = [f"trainer={name}", "trainer.max_epochs=1", *ON_CPU.get(name, [])]
    if name == "gpu" and not GPUS:
        with pytest.raises(InputError, match="finds no GPU"):
            prepared(*overrides)
        return
    trained(prepared(*overrides))


def test_fp16_on_the_cpu_is_refused(prepared):
    # Lightning would compute in bf16 under the name of fp16.
    with pytest.raises(InputError, match=r"trainer\.precision=16-mixed.*bf16-mixed"):
        prepared("trainer.precision=16-mixed")


@pytest.mark.parametrize("norm", files("norm"))
@pytest.mark.parametrize("shortcut", ["projection", "shortcut_gating"])
def test_decay_on_weights_leaves_biases_and_norms_alone(compose_cfg, norm, shortcut):
    net = build.initialised_network(compose_cfg(f"norm={norm}", f"shortcut={shortcut}"))
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    decayed, exempt = ({names[id(p)] for p in group["params"]} for group in decayed_groups(net, "weights"))
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    weights = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, kinds)}
    assert decayed == weights
    assert exempt == set(names.values()) - weights and "head.linear.bias" in exempt
    assert decayed_groups(net, "weights")[1]["weight_decay"] == 0
    (everything,) = decayed_groups(net, "all")
    assert {names[id(p)] for p in everything["params"]} == set(names.values())


@pytest.mark.parametrize("decayed_on", ["all", "weights"])
def test_decay_shrinks_what_it_is_on(prepared, decayed_on):
    # AdamW takes lr * weight_decay of a parameter off at each step, whatever its gradient: here, half.
    chosen = prepared(
        f"weight_decay_on={decayed_on}",
        *("optimizer=adamw", "optimizer.lr=1e-4", "optimizer.weight_decay=5e3", "schedule=constant"),
        *("trainer.max_epochs=1", "shortcut=projection"),
    )
    cell.run(chosen)
    (checkpoint,) = (chosen.directory / "checkpoints").glob("step-*.ckpt")
    state = torch.load(checkpoint, weights_only=False)["state_dict"]
    norm_weight = max(float(v.abs().max()) for k, v in state.items() if k.endswith("norm1.weight"))
    conv_weight = max(float(v.abs().max()) for k, v in state.items() if k.endswith("conv1.weight"))
    assert conv_weight < 0.01
    assert norm_weight < 0.01 if decayed_on == "all" else norm_weight > 0.99


def test_label_smoothing_is_in_the_training_loss_alone(prepared):
    smooth = prepared("label_smoothing=0.2", "trainer.max_epochs=1", "trainer.precision=32-true", "optimizer.lr=0")
    cell.run(smooth)
    net, data = build.initialised_network(smooth.cfg), build.images(smooth.cfg)
    data.prepare_data()
    data.setup("fit")
    images, labels = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    log_p = F.log_softmax(net.train()(images), dim=1)
    # Szegedy et al. 2015, section 7: the target is 1 - ε on the label plus ε spread over all classes.
    loss = -(0.8 * log_p[range(len(labels)), labels] + 0.2 * log_p.mean(1)).mean()
    assert series(smooth, "train/loss_step")[0] == pytest.approx(loss.item(), rel=1e-5)

    plain = prepared("trainer.max_epochs=1", "trainer.precision=32-true", "optimizer.lr=0")
    cell.run(plain)
    for name in ("val/loss", "test/loss"):
        assert series(smooth, name) == series(plain, name)
    assert series(smooth, "train/loss") != series(plain, "train/loss")


def evaluated(chosen: cell.Cell, weights: dict[str, torch.Tensor], split: str) -> float:
    """Accuracy of these weights, image by image."""
    net, data = build.initialised_network(chosen.cfg), build.images(chosen.cfg)
    net.load_state_dict(weights)
    net.eval()
    data.prepare_data()
    data.setup()
    right = []
    with torch.no_grad():
        for batch in getattr(data, f"{split}_dataloader")():
            images, labels = data.on_after_batch_transfer(batch, 0)
            right.append(net(images).argmax(1) == labels)
    return float(torch.cat(right).double().mean())


@pytest.mark.parametrize("result", ["last", "best"])
def test_the_result_is_of_the_epoch_that_was_asked_for(prepared, result):
    # The last two epochs' rate is absurd, so that the best epoch is one of the first four.
    rates = ["schedule=multi_step", "schedule.milestones=[0.667]", "schedule.gamma=100", "optimizer.lr=0.1"]
    chosen = prepared(f"result={result}", "trainer.max_epochs=6", "trainer.precision=32-true", *rates)
    summary = trained(chosen).summary
    accs = series(chosen, "val/acc")
    assert max(accs[:4]) > max(accs[4:]) + 0.1, "the best epoch was meant to be an early one"
    last = torch.load(max((chosen.directory / "checkpoints").glob("step-*.ckpt")), weights_only=False)["state_dict"]
    weights = {name.removeprefix("network."): value for name, value in last.items() if name.startswith("network.")}
    if result == "best":
        weights = torch.load(chosen.directory / "checkpoints" / "best.pt")
        assert evaluated(chosen, weights, "val") == pytest.approx(max(accs))
    else:
        assert not (chosen.directory / "checkpoints" / "best.pt").exists()
        assert evaluated(chosen, weights, "val") == pytest.approx(accs[-1])
    assert summary["test/acc"] == pytest.approx(evaluated(chosen, weights, "test"))
    assert len(series(chosen, "test/acc")) == 1


@pytest.mark.parametrize("overrides", [[], ["shortcut=dropout", "optimizer=adamw"], ["trainer.precision=bf16-mixed"]])
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(prepared, overrides):
    one, two = (prepared("trainer.max_epochs=2", *overrides, runs=runs) for runs in ("one", "two"))
    trained(one)
    torch.rand(7)  # what else draws from the global generator in this process does not matter
    trained(two)
    assert metrics(one) == metrics(two)
    norms = [pq.read_table(chosen.directory / "gradient_norms.parquet") for chosen in (one, two)]
    assert norms[0].equals(norms[1])
    other = prepared("trainer.max_epochs=2", "seed=1", *overrides)
    trained(other)
    assert {row[:3] for row in metrics(other)} == {row[:3] for row in metrics(one)}
    assert series(other, "train/loss_step")[0] != series(one, "train/loss_step")[0]


@pytest.mark.parametrize("result", ["last", "best"])
def test_a_diverged_run_is_a_result(prepared, result):
    chosen = prepared("optimizer.lr=1e6", "norm=none", "trainer.max_epochs=5", f"result={result}")
    record, _ = cell.run(chosen)
    losses = series(chosen, "train/loss_step")
    first = int(np.argmin(np.isfinite(losses)))
    assert record.status == "diverged" and record.diverged_at == first > 0
    assert len(losses) == 10, "the epoch ends, and with it the training"
    assert "test/acc" not in record.summary
    again, was_trained = cell.run(chosen)
    assert not was_trained and again.diverged_at == first


@pytest.mark.parametrize("last", ["true", "false"])
def test_channels_last_is_a_matter_of_memory_not_of_numbers(prepared, last):
    chosen = prepared(f"channels_last={last}", "trainer.max_epochs=1", "data.channels=1", "trainer.precision=32-true")
    net = build.initialised_network(chosen.cfg)
    weight = net.stage2.block1.conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == (last == "true")
    assert weight.is_contiguous() == (last == "false")
    trained(chosen)
    other = prepared("channels_last=false", "trainer.max_epochs=1", "trainer.precision=32-true", runs="other")
    trained(other)
    losses = [series(run, "train/loss_step") for run in (chosen, other)]
    assert losses[0][:3] == pytest.approx(losses[1][:3], rel=1e-3)


def picture_folder(root: Path, classes: int) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3)):
        for label in range(classes):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.mark.parametrize("classes", [5, 6])
def test_top_5_is_there_for_more_than_five_classes(prepared, tmp_path, classes):
    chosen = prepared(
        *("data=signs", f"data.root={picture_folder(tmp_path / 'pictures', classes)}"),
        *(f"data.num_classes={classes}", "data.image_size=16", "data.batch_size=16", "data.num_workers=0"),
        "trainer.max_epochs=1",
    )
    summary = trained(chosen).summary
    tops = {name for name in summary if name.endswith("acc_top5")}
    assert tops == ({"train/acc_top5", "val/acc_top5", "test/acc_top5"} if classes > 5 else set())
    for name in tops:
        assert summary[name.removesuffix("_top5")] <= summary[name] <= 1


def test_a_recipe_is_an_axis():
    """Typed alone it makes what an experiment makes of it; what is typed beside it wins."""
    register_resolvers()
    warmup = ["schedule.warmup.fraction=0.00626", "schedule.warmup.start=0.1", "schedule.warmup.shape=constant"]
    chosen = Composition.of(["recipe=he2015_cifar", "model=resnet110", "shortcut=zero_pad", *warmup])
    published = Composition.of(["experiment=he2015_resnet110"])
    assert chosen.choices["recipe"] == "he2015_cifar" and "recipe" not in chosen.checked()
    assert fingerprint(chosen.checked()) == fingerprint(published.checked())
    assert "optimizer.lr" in chosen.changed and "recipe" not in published.changed
    values = Composition.of(["recipe=he2016_cifar", "data=digits", "optimizer.lr=0.3"]).checked()
    assert values["optimizer"]["lr"] == 0.3 and values["schedule"]["warmup"]["fraction"] == 0.00626


@pytest.mark.parametrize("name", files("recipe"))
def test_a_recipe_leaves_the_network_alone(name):
    """What it chooses is data and training: `recipe=NAME` can be set beside any model, and compared with none."""
    register_resolvers()
    defaults, chosen = Composition.of([]), Composition.of([f"recipe={name}"])
    changed = {axis for axis in chosen.choices if chosen.choices[axis] != defaults.choices[axis]}
    assert changed <= {"recipe", "data", "optimizer", "schedule", "trainer"}
    assert {key.partition(".")[0] for key in chosen.changed} <= {"data", "optimizer", "schedule", "trainer"}


def test_no_recipe_can_be_typed_and_swept(tmp_path, monkeypatch):
    """It is what there is without the word, by either name."""
    register_resolvers()
    plain = Composition.of([])
    for words in (["recipe=none"], ["recipe=null"], ["recipe=he2015_cifar", "recipe=null"]):
        typed = Composition.of(words)
        assert typed.choices == plain.choices and typed.name == "defaults"
        assert fingerprint(typed.checked()) == fingerprint(plain.checked())
    monkeypatch.chdir(tmp_path)
    for number, none in enumerate((None, "none")):
        parameters = {"recipe": {"values": [none, "he2015_cifar"]}, "data": {"value": "digits"}}
        Path(f"{number}.yaml").write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}))
    cells = [plan(SweepFile.read(Path(f"{number}.yaml")), []) for number in range(2)]
    assert [cell.directory for cell in cells[0]] == [cell.directory for cell in cells[1]]
    assert "recipe=none" in cells[0][0].overrides, "the words that a worker composes"


ONE_OF_EACH = [
    *("he2015_plain20", "he2015_resnet110", "he2015_resnet50", "he2016_original"),
    *("functional_basic", "notebook_deep", "patterns_vgg16", "stepwise_block_depth2", "stepwise_resnet50"),
]
TRAINING = ("data", "optimizer", "schedule", "trainer")
NETWORK = ("model", "block", "shortcut", "norm", "placement", "transition", "head", "init", "padding", "conv_bias")


@pytest.mark.parametrize("experiment", ONE_OF_EACH)
def test_a_typed_recipe_replaces_that_of_an_experiment(experiment):
    """Nothing of the experiment's own training is left, and its network stays. By one composer and by the other."""
    register_resolvers()
    own = Composition.of([f"experiment={experiment}"])
    assert own.choices["recipe"]
    for recipe in ("none", "he2016_cifar", "patterns"):
        words = [f"experiment={experiment}", f"recipe={recipe}"]
        both, alone = Composition.of(words), Composition.of([f"recipe={recipe}"])
        values, want = both.values(), alone.values()
        assert {key: values[key] for key in TRAINING} == {key: want[key] for key in TRAINING}
        assert Composer()(words) == values
        others = [axis for axis in own.choices if axis not in (*TRAINING, "recipe")]
        assert [both.choices[axis] for axis in others] == [own.choices[axis] for axis in others]
        assert [values[key] for key in NETWORK] == [own.values()[key] for key in NETWORK]
        assert ("recipe=none" in both.name) == (recipe == "none")


def test_no_experiment_is_refused_in_words():
    for words in (["experiment=null"], ["experiment=he2015_resnet20,null"], ["variant=experiment=null"]):
        with pytest.raises(InputError, match=r"leave the word out.*list both as variants"):
            Composition.of(words)
