"""gradient_norms.parquet of real runs against plain torch.autograd: a training loop written out here."""

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn

from ablate.errors import InputError
from ablate.study import cell
from ablate.training import build
from ablate.training.gradient_norms import ABSENT, GradientNorms
from ablate.training.recorder import CAPACITY

Norms = dict[tuple[int, str], float]
BASE = ("schedule=constant", "optimizer.lr=0.05", "trainer.precision=32-true", "trainer.max_epochs=2")


def recorded(directory: Any, column: str = "norm") -> Norms:
    rows = pq.read_table(directory / "gradient_norms.parquet").to_pylist()
    norms = {(row["step"], row["layer"]): row[column] for row in rows}
    assert len(norms) == len(rows), "a step and layer twice"
    return {key: norm for key, norm in norms.items() if norm is not None}


def layer_norms(net: nn.Module) -> Iterator[tuple[str, float]]:
    for name, module in net.named_modules():
        gradients = [p.grad for p in module.parameters(recurse=False) if p.grad is not None]
        if gradients:
            yield name, math.sqrt(sum(float(g.double().square().sum()) for g in gradients))


def weight_norms(net: nn.Module, before: dict[str, torch.Tensor] | None = None) -> Iterator[tuple[str, float]]:
    """The norms of the layers' weights, or of their change since `before`."""
    for name, module in net.named_modules():
        own = {f"{name}.{key}": p.detach().double() for key, p in module.named_parameters(recurse=False)}
        if own:
            changes = own.values() if before is None else [p - before[key].double() for key, p in own.items()]
            yield name, math.sqrt(sum(float(change.square().sum()) for change in changes))


def by_hand(
    cfg: Any, *, autocast: torch.dtype | None = None, scaled: bool = False, others: dict[str, Norms] | None = None
) -> Norms:
    """The norms of the whole training of `cfg`, by plain SGD; `others` is filled with the other columns."""
    net = build.initialised_network(cfg)
    data = build.images(cfg)
    data.prepare_data()
    data.setup("fit")
    chosen = {key: cfg.optimizer[key] for key in ("lr", "momentum", "nesterov", "weight_decay", "fused")}
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, **chosen)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    micro_batches, clip = cfg.trainer.accumulate_grad_batches, cfg.trainer.gradient_clip_val
    norms: Norms = {}
    others = {} if others is None else others
    others |= {"clipped": {}, "weight": {}, "update": {}}
    step = 0
    net.train()
    for epoch in range(cfg.trainer.max_epochs):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for number, batch in enumerate(loader, 1):
            images, labels = data.on_after_batch_transfer(batch, 0)
            with torch.autocast("cpu", autocast) if autocast else nullcontext():
                scores = net(images)
            loss = F.cross_entropy(scores.float(), labels, label_smoothing=cfg.label_smoothing)
            scaler.scale(loss / micro_batches).backward()
            if number % micro_batches and number < len(loader):
                continue
            scaler.unscale_(optimizer)
            norms |= {(step, layer): norm for layer, norm in layer_norms(net)}
            if clip and cfg.trainer.gradient_clip_algorithm == "norm":
                nn.utils.clip_grad_norm_(parameters, clip)
            elif clip:
                nn.utils.clip_grad_value_(parameters, clip)
            before = {name: p.detach().clone() for name, p in net.named_parameters(remove_duplicate=False)}
            others["clipped"] |= {(step, layer): norm for layer, norm in layer_norms(net)}
            others["weight"] |= {(step, layer): norm for layer, norm in weight_norms(net)}
            scaler.step(optimizer)
            scaler.update()
            for layer, change in weight_norms(net, before):
                others["update"][step, layer] = change / others["weight"][step, layer]
            optimizer.zero_grad()
            step += 1
    return norms


def assert_equal(one: Norms, other: Norms, rel: float = 1e-5) -> None:
    assert one.keys() == other.keys() and one
    keys = sorted(one)
    left, right = (np.array([norms[key] for key in keys]) for norms in (one, other))
    np.testing.assert_allclose(left, right, rtol=rel, atol=1e-12)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer.fused=true"],
        ["optimizer.fused=false"],
        ["norm=none", "shortcut=projection", "label_smoothing=0.1", "optimizer.nesterov=true"],
        ["norm=group", "channels_last=false"],
        ["trainer.accumulate_grad_batches=4"],
        ["trainer.accumulate_grad_batches=4", "optimizer.fused=false", "trainer.gradient_clip_val=0.2"],
        ["trainer.gradient_clip_val=0.2"],
        ["trainer.gradient_clip_val=0.2", "optimizer.fused=true"],
        ["trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"],
    ],
    ids=" ".join,
)
def test_single_precision(prepared, overrides):
    chosen = prepared(*BASE, *overrides)
    cell.run(chosen)
    assert_equal(recorded(chosen.directory), by_hand(chosen.cfg))


CLIPPING = {"norm": "0.2", "value": "0.01"}


@pytest.mark.parametrize("algorithm", CLIPPING)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("accumulated", [1, 4])
def test_norms_before_and_after_clipping(prepared, algorithm, precision, accumulated):
    clipping = (f"trainer.gradient_clip_val={CLIPPING[algorithm]}", f"trainer.gradient_clip_algorithm={algorithm}")
    more = (f"trainer.precision={precision}", f"trainer.accumulate_grad_batches={accumulated}")
    chosen = prepared(*BASE[:2], "trainer.max_epochs=2", *more, *clipping)
    cell.run(chosen)
    others: dict[str, Norms] = {}
    expected = by_hand(chosen.cfg, autocast=torch.bfloat16 if precision == "bf16-mixed" else None, others=others)
    assert_equal(recorded(chosen.directory), expected)
    assert_equal(recorded(chosen.directory, "clipped"), others["clipped"])
    key = 0, "stem.conv"
    assert recorded(chosen.directory, "clipped")[key] < 0.9 * recorded(chosen.directory)[key]


def test_fused_steps_and_clipping_in_mixed_precision_clash(prepared):
    mixed = ("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1")
    with pytest.raises(InputError, match=r"optimizer.fused=auto"):
        prepared(*mixed, "optimizer.fused=true")
    assert prepared(*mixed).cfg.optimizer.fused is False
    assert prepared("trainer.precision=bf16-mixed").cfg.optimizer.fused is True


@pytest.mark.parametrize("overrides", [[], ["trainer.accumulate_grad_batches=4", "optimizer.fused=false"]])
def test_weights_and_relative_updates_of_every_third_step(prepared, overrides):
    # Weights start without zeros, so that a relative update is one.
    chosen = prepared(*BASE, "gradient_norms.weights_every_n_steps=3", "norm=group", *overrides)
    cell.run(chosen)
    others: dict[str, Norms] = {}
    norms = by_hand(chosen.cfg, others=others)
    thirds = {key for key in norms if key[0] % 3 == 0}
    for column in ("weight", "update"):
        assert_equal(recorded(chosen.directory, column), {key: others[column][key] for key in thirds}, rel=1e-4)
    assert recorded(chosen.directory, "clipped") == {}, "nothing was clipped"
    assert all(0 < update < 1 for update in recorded(chosen.directory, "update").values())


def test_a_skipped_fp16_step_updates_nothing(prepared, monkeypatch):
    # Not fused: torch leaves the momentum uninitialised where the very first fused step is skipped.
    chosen = prepared(*BASE, "gradient_norms.weights_every_n_steps=1", "optimizer.fused=false")
    monkeypatch.setattr(pl, "Trainer", ScaledTrainer)
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**24))
    cell.run(chosen)
    others: dict[str, Norms] = {}
    norms = by_hand(chosen.cfg, autocast=torch.float16, scaled=True, others=others)
    updates = recorded(chosen.directory, "update")
    assert_equal(updates, others["update"], rel=1e-3)
    skipped = {step for (step, _), norm in norms.items() if not math.isfinite(norm)}
    assert skipped, "the first loss scale was meant to overflow"
    assert {step for (step, layer), update in updates.items() if layer == "head.linear" and update == 0} == skipped


def test_the_rms_is_the_norm_per_square_root_of_the_layers_size(prepared):
    chosen = prepared(*BASE, "trainer.max_epochs=1")
    cell.run(chosen)
    net = build.initialised_network(chosen.cfg)
    norms, rms = recorded(chosen.directory), recorded(chosen.directory, "rms")
    for name, module in net.named_modules():
        if size := sum(p.numel() for p in module.parameters(recurse=False)):
            assert rms[3, name] == pytest.approx(norms[3, name] / math.sqrt(size), rel=1e-6)


@pytest.mark.parametrize("fused", ["true", "false"])
def test_bf16_autocast(prepared, fused):
    chosen = prepared(*BASE, "trainer.precision=bf16-mixed", f"optimizer.fused={fused}")
    cell.run(chosen)
    assert_equal(recorded(chosen.directory), by_hand(chosen.cfg, autocast=torch.bfloat16))
    assert recorded(chosen.directory) != by_hand(chosen.cfg), "bf16 was meant to differ from float32"


class ScaledTrainer(pl.Trainer):
    """float16 with a loss scaler on the CPU, where Lightning itself would turn 16-mixed into bf16-mixed."""

    __signature__ = inspect.signature(pl.Trainer)  # a run looks up what the Trainer takes

    def __init__(self, *, plugins: list[Any], precision: str, **arguments: Any) -> None:
        scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        super().__init__(plugins=[*plugins, scaled], **arguments)


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("fused", ["true", "false"])
def test_fp16_norms_are_those_of_the_unscaled_gradient(prepared, monkeypatch, fused, accumulated):
    # Init scale 2^16 overflows here at once: those steps are skipped, and their norms recorded as they are.
    chosen = prepared(*BASE, f"optimizer.fused={fused}", f"trainer.accumulate_grad_batches={accumulated}")
    monkeypatch.setattr(pl, "Trainer", ScaledTrainer)
    cell.run(chosen)
    expected = by_hand(chosen.cfg, autocast=torch.float16, scaled=True)
    assert_equal(recorded(chosen.directory), expected, rel=1e-4)
    assert 0 < recorded(chosen.directory)[0, "head.linear"] < 100


def tampered(monkeypatch: pytest.MonkeyPatch, tamper: Callable[[nn.Module], None]) -> None:
    """Every network gets `tamper` done to it, in the run as in the loop by hand."""
    initialised = build.initialised_network

    def altered(cfg: Any) -> nn.Module:
        net = initialised(cfg)
        tamper(net)
        return net

    monkeypatch.setattr(build, "initialised_network", altered)


def test_frozen_layers_are_absent(prepared, monkeypatch):
    def freeze(net: nn.Module) -> None:
        net.stem.requires_grad_(False)
        net.stage2.block1.conv1.requires_grad_(False)
        net.head.linear.bias.requires_grad_(False)

    tampered(monkeypatch, freeze)
    chosen = prepared(*BASE)
    cell.run(chosen)
    norms = recorded(chosen.directory)
    layers = {layer for _, layer in norms}
    assert not any(layer.startswith("stem") for layer in layers)
    assert "stage2.block1.conv1" not in layers and "head.linear" in layers
    depths = pq.read_table(chosen.directory / "gradient_norms.parquet")["depth"].to_pylist()
    assert sorted(set(depths)) == pytest.approx(np.linspace(0, 1, len(layers)))
    assert_equal(norms, by_hand(chosen.cfg))


def test_a_shared_parameter_counts_in_both_of_its_layers(prepared, monkeypatch):
    def share(net: nn.Module) -> None:
        net.stage3.block1.conv2.weight = net.stage2.block1.conv2.weight

    tampered(monkeypatch, share)
    chosen = prepared(*BASE)
    cell.run(chosen)
    norms = recorded(chosen.directory)
    assert norms[5, "stage3.block1.conv2"] == norms[5, "stage2.block1.conv2"] > 0
    assert_equal(norms, by_hand(chosen.cfg))


@pytest.mark.parametrize("fused", ["true", "false"])
def test_a_layer_is_absent_at_the_steps_that_give_it_no_gradient(prepared, monkeypatch, fused):
    def cut_off_every_third_time(net: nn.Module) -> None:
        calls = 0

        def before(head: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
            nonlocal calls
            calls += head.training
            return (inputs[0].detach(),) if head.training and calls % 3 == 0 else None

        net.head.register_forward_pre_hook(before)

    tampered(monkeypatch, cut_off_every_third_time)
    chosen = prepared(*BASE, f"optimizer.fused={fused}")
    cell.run(chosen)
    norms = recorded(chosen.directory)
    assert {step for step, layer in norms if layer.startswith("stage1")} == {s for s in range(20) if s % 3 != 2}
    assert {step for step, layer in norms if layer == "head.linear"} == set(range(20))
    assert_equal(norms, by_hand(chosen.cfg))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_is_recorded_as_it_is(prepared, monkeypatch, value):
    def spoil_the_fourth(net: nn.Module) -> None:
        calls = 0

        def spoil(gradient: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == 4:
                gradient = gradient.clone()
                gradient[0, 0] = value
            return gradient

        net.stage3.block1.conv1.weight.register_hook(spoil)

    tampered(monkeypatch, spoil_the_fourth)
    chosen = prepared(*BASE, "trainer.max_epochs=1")
    result, _ = cell.run(chosen)
    norms = recorded(chosen.directory)
    spoilt = {layer for (step, layer), norm in norms.items() if step == 3 and not math.isfinite(norm)}
    assert spoilt == {"stage3.block1.conv1"}
    np.testing.assert_equal(norms[3, "stage3.block1.conv1"], abs(value))
    assert_equal(norms, by_hand(chosen.cfg))
    assert (result["status"], result["diverged_at"]) == ("diverged", 4)


@pytest.mark.parametrize("every", [1, 3, 100])
def test_more_steps_than_the_buffer_holds_lose_nothing(prepared, every):
    more = ["data.batch_size=16", "trainer.max_epochs=2", f"gradient_norms.every_n_steps={every}"]
    chosen = prepared(*BASE, *more)
    cell.run(chosen)
    norms, expected = recorded(chosen.directory), by_hand(chosen.cfg)
    steps = 2 * 80
    assert {step for step, _ in expected} == set(range(steps)) and steps // 2 > CAPACITY
    # A hundred steps on one processor: rounding has had time to grow.
    assert_equal(norms, {key: norm for key, norm in expected.items() if key[0] % every == 0}, rel=1e-3)
    rows = pq.read_table(chosen.directory / "metrics.parquet").to_pylist()
    for name in ("lr", "train/loss_step"):
        assert sorted(row["step"] for row in rows if row["name"] == name) == list(range(steps))


def test_none_are_recorded_with_every_n_steps_0(prepared):
    chosen = prepared(*BASE, "gradient_norms.every_n_steps=0")
    result, _ = cell.run(chosen)
    assert pq.read_table(chosen.directory / "gradient_norms.parquet").num_rows == 0
    assert result["status"] == "finished" and result["gradient_norms"] == {}


def test_depth_runs_from_the_image_to_the_head(prepared):
    chosen = prepared(*BASE, "trainer.max_epochs=1")
    result, _ = cell.run(chosen)
    rows = pq.read_table(chosen.directory / "gradient_norms.parquet").to_pylist()
    first = [row for row in rows if row["step"] == 0]
    layers = [name for name, _ in layer_norms(with_gradients(build.initialised_network(chosen.cfg)))]
    assert [row["layer"] for row in sorted(first, key=lambda row: row["depth"])] == layers
    assert sorted(row["depth"] for row in first) == pytest.approx(np.linspace(0, 1, len(layers)))
    assert list(result["gradient_norms"]) == [layers[0], layers[-1]]
    assert list(result["gradient_norms"].values()) == [recorded(chosen.directory)[9, layers[i]] for i in (0, -1)]


def with_gradients(net: nn.Module) -> nn.Module:
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    return net


def test_a_network_without_any_gradient_has_no_norms():
    norms = GradientNorms(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
    assert norms.layers == ["0", "2"] and norms.measure().tolist() == [ABSENT, ABSENT]


@pytest.mark.parametrize("size", [1e-18, 1.0, 8e18])
def test_tiny_and_huge_gradients_keep_their_norm(size):
    net = with_gradients(nn.Sequential(nn.Linear(2, 2)))
    for parameter in net.parameters():
        parameter.grad *= size
    assert GradientNorms(net).measure().item() == pytest.approx(math.sqrt(6) * size, rel=1e-6)


@pytest.mark.long
def test_a_compiled_network(prepared):
    # Fused kernels round otherwise: steps too small to carry it on, and no ReLU, whose corner magnifies it.
    chosen = prepared(*BASE, "compile=default", "trainer.max_epochs=1", "optimizer.lr=1e-5", "activation=gelu")
    cell.run(chosen)
    assert_equal(recorded(chosen.directory), by_hand(chosen.cfg), rel=1e-3)


def test_two_processes_record_the_norms_of_one(prepared):
    # Without batch norm, whose statistics are each process's own.
    chosen = [*BASE, "norm=none", "optimizer.lr=0.02"]
    both = prepared(*chosen, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    result, _ = cell.run(both)
    assert result["status"] == "finished" and len({step for step, _ in recorded(both.directory)}) == 20
    assert_equal(recorded(both.directory), by_hand(both.cfg), rel=1e-3)
