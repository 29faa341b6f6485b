"""Which layers and steps have a recorded gradient norm: frozen, shared, absent and spoilt ones, and every step."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ablate.runs import cell
from ablate.training import build
from ablate.training.gradients.norms import ABSENT, GradientNorms
from ablate.training.gradients.recorder import CAPACITY
from tests.training.norms_by_hand import BASE, assert_equal, by_hand, layer_norms, recorded


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
    assert (result.status, result.diverged_at) == ("diverged", 4)


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
    assert result.status == "finished" and result.gradient_norms == {}


def test_depth_runs_from_the_image_to_the_head(prepared):
    chosen = prepared(*BASE, "trainer.max_epochs=1")
    result, _ = cell.run(chosen)
    rows = pq.read_table(chosen.directory / "gradient_norms.parquet").to_pylist()
    first = [row for row in rows if row["step"] == 0]
    layers = [name for name, _ in layer_norms(with_gradients(build.initialised_network(chosen.cfg)))]
    assert [row["layer"] for row in sorted(first, key=lambda row: row["depth"])] == layers
    assert sorted(row["depth"] for row in first) == pytest.approx(np.linspace(0, 1, len(layers)))
    assert list(result.gradient_norms) == [layers[0], layers[-1]]
    assert list(result.gradient_norms.values()) == [recorded(chosen.directory)[9, layers[i]] for i in (0, -1)]


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
