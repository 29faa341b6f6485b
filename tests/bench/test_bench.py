"""What the harness costs: each comparison at a size for a second, and that both of its sides do the same work."""

import json
import math
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torchvision import models, transforms

from ablate import bench
from ablate.bench import (
    data,
    flops,
    gradients,
    harness,
    images,
    large_images,
    memory,
    paired,
    recipe,
    sweep,
)
from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.process import processors
from ablate.runs import cell
from ablate.sweep.file import SweepFile
from ablate.training import build

ON_ONE_CORE = ["trainer=cpu", "threads=1"]
COLUMNS = ["comparison", "goal", "unit", "rounds", "median", "min", "max", "how"]


@pytest.fixture(autouse=True)
def _resolvers():
    register_resolvers()


def small(monkeypatch, module, **constants):
    for name, value in constants.items():
        monkeypatch.setattr(module, name, value)


def checked(measured: Iterable[dict], count: int) -> list[dict]:
    rows = list(measured)
    assert len(rows) == count
    for row in rows:
        assert list(row) == COLUMNS
        assert row["median"] == statistics.median(row["rounds"])
        assert math.isfinite(row["max"]) and 0 < row["min"] <= row["median"] <= row["max"]
    return rows


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_loop_by_hand_has_the_losses_of_the_run(tmp_path, precision):
    own = images.overrides("cifar10", 12 * 8, test=8, channels=3, size=8)
    own += ["data.batch_size=8", "trainer.max_epochs=1", "tracking=disabled", f"runs_dir={tmp_path}"]
    chosen = paired.prepared([*ON_ONE_CORE, f"trainer.precision={precision}"], own)
    beside = harness.Beside(chosen.cfg, 12)
    record, trained = cell.run(chosen, progress=lambda bar: beside)
    assert trained and record.status == "finished"
    rows = pq.read_table(chosen.directory / "metrics.parquet").to_pylist()
    losses = [row["value"] for row in rows if row["name"] == "train/loss_step"]
    by_hand = [float(loss) for loss in beside.loop.losses]
    assert len(by_hand) == 12 and losses[:12] == by_hand and len(set(by_hand)) == 12
    assert {name: len(times) for name, times in beside.seconds.items()} == {"harness": 12, "by hand": 12}


def test_turns_of_many_steps_are_as_long_on_both_sides(monkeypatch, tmp_path):
    small(monkeypatch, harness, TURN={"cpu": 3})
    own = images.overrides("cifar10", 12 * 8, test=8, channels=3, size=8)
    own += ["data.batch_size=8", "trainer.max_epochs=1", "tracking=disabled", f"runs_dir={tmp_path}"]
    chosen = paired.prepared(ON_ONE_CORE, own)
    beside = harness.Beside(chosen.cfg, 4)
    ticks = iter(range(1000))
    beside.clock = lambda: next(ticks)
    cell.run(chosen, progress=lambda bar: beside)
    assert {name: len(times) for name, times in beside.seconds.items()} == {"harness": 4, "by hand": 4}
    assert len(beside.loop.losses) == 12


def test_the_harness_is_measured_in_whole_rounds(monkeypatch):
    small(monkeypatch, harness, ON_CPU=(("resnet20", 8, 4),), ROUNDS=2, CAPACITY=4, WARM_UP=2)
    (row,) = checked(harness.compare(ON_ONE_CORE), 1)
    assert row["goal"] == "<= 1.02" and row["how"].endswith("2 rounds of 4 steps")


def test_a_training_that_diverges_measures_nothing(monkeypatch):
    small(monkeypatch, harness, ON_CPU=(("resnet20", 8, 4),), ROUNDS=1, CAPACITY=4, WARM_UP=2)
    with pytest.raises(InputError, match="diverged"):
        list(harness.compare([*ON_ONE_CORE, "norm=none", "optimizer.lr=1e12", "schedule=constant"]))


def test_the_usual_recipe_sees_the_pixels_of_the_default_one():
    own = images.overrides("fashion_mnist", 20, test=2, channels=1, size=28)
    cfg = paired.prepared(ON_ONE_CORE, [*own, "data.batch_size=4"]).cfg
    ours = build.images(cfg)
    ours.setup("fit")
    batch, labels = next(iter(ours.val_dataloader()))
    normal = [transforms.ToTensor(), transforms.Normalize(list(cfg.data.mean), list(cfg.data.std))]
    usual = recipe.Pictures(batch, labels, transforms.Compose(normal))
    expected, _ = ours.on_after_batch_transfer((batch, labels), 0)
    torch.testing.assert_close(usual[0][0], expected[0], rtol=0, atol=1e-6)
    assert usual[0][1] == labels[0]


def test_recipe(monkeypatch):
    small(monkeypatch, recipe, EPOCH=5120, ROUNDS=1, WORKERS=0)
    (row,) = checked(recipe.compare(ON_ONE_CORE), 1)
    assert "1 round of 256 images" in row["how"]


def test_data(monkeypatch):
    small(monkeypatch, data, EPOCH=512, ROUNDS=1, STEPS=1)
    checked(data.compare(ON_ONE_CORE), 1)


def test_flops(monkeypatch):
    small(monkeypatch, flops, NETWORKS={"cpu": (("resnet20", 8, 4),)}, ROWS={"cpu": 64}, ROUNDS=2)
    checked(flops.compare(ON_ONE_CORE), 1)


def test_large_images(monkeypatch):
    small(monkeypatch, large_images, NETWORKS={"cpu": ("resnet18", 2, 5)}, FILES={"cpu": 16}, SIZE=32)
    rows = checked(large_images.compare([*ON_ONE_CORE, "shortcut=none"]), 5)
    assert [row["comparison"].partition(": ")[2] for row in rows] == [
        "decode, crop, resize in one process",
        "loader alone",
        "network alone",
        "both together",
        "together / the slower of the two",
    ]


def test_memory_is_that_of_processes_of_their_own(monkeypatch):
    told = {}

    def measured(way, what):
        told[way] = what
        return {"run": {"before": 100, "peak": 300}, "plain": {"before": 50, "peak": 200}}[way]

    monkeypatch.setattr(memory, "_measured", measured)
    whole, added = checked(memory.compare(ON_ONE_CORE), 2)
    assert whole["median"] == 1.5 and added["median"] == 4 / 3
    chosen = Composition.of(told["run"])
    assert chosen.choices["shortcut"] == "projection" and told["plain"]["threads"] == 1
    with torch.device("meta"):
        ours, theirs = build.network(chosen.cfg), getattr(models, told["plain"]["model"])()
    assert [sum(p.numel() for p in net.parameters()) for net in (ours, theirs)] == [11_689_512] * 2


@pytest.mark.parametrize("way", ["run", "plain"])
def test_the_peak_is_of_the_training(monkeypatch, way):
    small(monkeypatch, memory, EPOCHS=1)
    overrides = [*ON_ONE_CORE, *memory.own("resnet18", 64, 8)]
    plainly = {"model": "resnet18", "size": 64, "batch": 8, "threads": 1, "device": "cpu", "bf16": False, "lr": 0.01}
    peaks = {"run": partial(memory.run, overrides), "plain": partial(memory.plain, plainly)}[way]()
    # The kernel counts pages roughly, and the tests before may have left a peak of their own.
    assert 1e8 < peaks["before"] <= peaks["peak"] + 2**20 < 1e11


def test_a_sweep_is_compared_with_the_training_of_its_cells(tmp_path):
    for number, (start, end, seconds) in enumerate([(110, 130, 12.5), (111, 127, 10.0), (130, 149, 17.5)]):
        written = {
            key: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
            for key, at in (("started", start), ("ended", end))
        }
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "run.json").write_text(json.dumps(written | {"cost": {"seconds": seconds}}))
    spent = sweep.spent(tmp_path, began=100.0, wall=50.0)
    assert (spent.wall, spent.start, spent.training, spent.own) == (50, 10, 40, 55)
    cores = processors.usable()
    assert spent.ratio == 50 * cores / 40
    assert spent.lost == {"start": 10 * cores, "in cells": 15, "waiting": 40 * cores - 55}
    assert sum(spent.lost.values()) == pytest.approx(50 * cores - 40)


@pytest.mark.parametrize(("cells", "count"), [(sweep.CELLS, 16), (sweep.TINY, 128)])
def test_the_sweeps_have_as_many_cells_as_they_say(tmp_path, cells, count):
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps(cells))
    assert len(list(SweepFile.read(file).cells())) == count


def test_a_sweep_is_a_command_with_what_was_typed(monkeypatch):
    told = []

    def command(arguments):
        told.extend(arguments)
        (Path(next(text for text in arguments if text.startswith("runs_dir=")).partition("=")[2])).mkdir()

    monkeypatch.setattr(sweep, "command", command)
    monkeypatch.setattr(sweep, "spent", lambda runs, began, wall: sweep.Spent(10.0, 1.0, 10.0, 12.0))
    monkeypatch.setattr(sweep, "SWEEPS", sweep.SWEEPS[:1])
    (row,) = checked(sweep.compare(["hydra.searchpath=[pkg://ablate]", *ON_ONE_CORE]), 1)
    assert told[0] == "sweep" and told[-3:] == ["hydra.searchpath=[pkg://ablate]", *ON_ONE_CORE]
    assert row["median"] == processors.usable()


def test_the_bench_pairs_all_ways_of_watching(monkeypatch, capsys):
    small(monkeypatch, gradients, NETWORKS=(("resnet20", 8, 4, 3),))
    bench.show(ON_ONE_CORE, ["gradients"], as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {"conditions", "gradients"}
    (row,) = shown["gradients"]
    assert row.pop("network") == "resnet20, 8x8, batch 4"
    assert (row.pop("goal"), row.pop("unit")) == ("<= 1.02", "ratio")
    assert {len(seconds) for seconds in row.pop("rounds").values()} == {3}
    assert len(row) == 5 and all(value > 0 for value in row.values())


def test_the_names_are_the_modules():
    folder = Path(bench.__file__).parent
    comparisons = {path.stem for path in folder.glob("*.py") if "\ndef compare(" in path.read_text()}
    assert set(bench.NAMES) == comparisons


@pytest.mark.parametrize(
    "ignored",
    [
        "compile=default",
        "matmul_precision=highest",
        "trainer.gradient_clip_val=1",
        "gradient_norms.pictures=false",
        "model=resnet56",
        "data.batch_size=7",
        "tracking=online",
    ],
)
def test_what_the_bench_does_not_do_is_refused(ignored):
    with pytest.raises(InputError, match=rf"^{ignored}: the bench sets this itself"):
        list(gradients.compare(["trainer=cpu", "trainer.precision=32-true", ignored]))


def test_each_way_of_watching_gets_as_many_steps():
    ways = {name: gradients.Watching() for name in "abc"}
    turns = gradients.TakingTurns(ways, iter(range(99)).__next__)
    order = []
    for step in range(12):
        turns.on_train_batch_start(None, None, None, step)
        order.append(turns._name)
        turns.on_train_batch_end(None, None, {}, None, step)
    rounds = [order[i : i + 3] for i in range(0, 12, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds) and len({tuple(names) for names in rounds}) > 1
    assert turns.seconds == {name: [1] * 4 for name in ways}
