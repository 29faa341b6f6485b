"""The recorder beside LightningModules that know nothing of it, against plain torch.autograd."""

import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ablate.training.gradients.layers import MATRIX, NORM, OTHER, layers_in
from ablate.training.gradients.norms import GradientNorms
from ablate.training.gradients.recorder import StepRecorder
from ablate.training.saving.history import RunHistory, read
from tests.training.norms_by_hand import Norms, assert_equal, layer_norms, recorded

BATCHES = [
    (torch.randn(8, 3, generator=torch.Generator().manual_seed(i)), torch.arange(8) % 2 + i % 2) for i in range(6)
]


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3))


def loss_of(network: nn.Module, batch: Any) -> Tensor:
    return F.cross_entropy(network(batch[0]), batch[1])


class Plain(pl.LightningModule):
    """As Lightning's own introduction has them: training_step returns the loss itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_network()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return loss_of(self.net, batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), lr=0.3, momentum=0.9, nesterov=True)


class ClipsItself(Plain):
    """Clips by a rule of its own, whatever the Trainer is told."""

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        nn.utils.clip_grad_value_(self.net.parameters(), 0.03)


class Manual(Plain):
    """Two optimizers, one step each a batch."""

    def __init__(self, returns_loss: bool) -> None:
        super().__init__()
        self.automatic_optimization, self.returns_loss = False, returns_loss

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self.net, batch)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        return loss if self.returns_loss else None

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(layer.parameters(), lr=0.3) for layer in (self.net[0], self.net[3])]


def trained(module: Plain, directory: Path, **trainer: Any) -> StepRecorder:
    history = RunHistory(directory, layers=GradientNorms(module.net).described)
    every = OmegaConf.create({"every_n_steps": 1, "weights_every_n_steps": 1, "series": "few"})
    recorder = StepRecorder(history, None, module.net, every, 1)
    pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        callbacks=[recorder],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
        **trainer,
    ).fit(module, DataLoader(BATCHES, batch_size=None))
    history.join()
    return recorder


def losses(directory: Path) -> Norms:
    rows = read(directory / "metrics.parquet").to_pylist()
    return {(row["step"], ""): row["value"] for row in rows if row["name"] == "train/loss_step"}


def by_hand(accumulated: int, clip: Any) -> tuple[Norms, Norms, Norms]:
    """Norms before and after `clip`, and each step's loss."""
    net = small_network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9, nesterov=True)
    norms: Norms = {}
    clipped: Norms = {}
    means: Norms = {}
    for step in range(len(BATCHES) // accumulated):
        optimizer.zero_grad()
        found = [loss_of(net, batch) for batch in BATCHES[step * accumulated :][:accumulated]]
        (sum(found) / accumulated).backward()
        norms |= {(step, layer): norm for layer, norm in layer_norms(net)}
        clip(net.parameters())
        clipped |= {(step, layer): norm for layer, norm in layer_norms(net)}
        means[step, ""] = sum(loss.item() for loss in found) / accumulated
        optimizer.step()
    return norms, clipped, means


@pytest.mark.parametrize("accumulated", [1, 3])
@pytest.mark.parametrize(
    ("module", "trainer", "clip"),
    [
        (Plain, {}, lambda parameters: None),
        (Plain, {"gradient_clip_val": 0.1}, lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.1)),
        (ClipsItself, {}, lambda parameters: nn.utils.clip_grad_value_(parameters, 0.03)),
        (ClipsItself, {"gradient_clip_val": 9.0}, lambda parameters: nn.utils.clip_grad_value_(parameters, 0.03)),
    ],
)
def test_norms_and_losses_of_a_module_that_knows_nothing_of_them(tmp_path, accumulated, module, trainer, clip):
    trained(module(), tmp_path, accumulate_grad_batches=accumulated, **trainer)
    norms, clipped, means = by_hand(accumulated, clip)
    assert_equal(recorded(tmp_path), norms)
    assert_equal(losses(tmp_path), means)
    if module is ClipsItself or trainer:
        assert_equal(recorded(tmp_path, "clipped"), clipped)
        assert clipped[0, "3"] < 0.99 * norms[0, "3"]
    else:
        assert recorded(tmp_path, "clipped") == {}


def test_a_loss_that_is_not_finite_stops_any_module(tmp_path):
    class Spoilt(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) * (math.nan if batch_idx == 4 else 1)

    assert trained(Spoilt(), tmp_path).diverged_at == 4


@pytest.mark.parametrize("returns_loss", [True, False])
def test_manual_optimization_with_two_optimizers(tmp_path, returns_loss):
    trained(Manual(returns_loss), tmp_path)
    norms = recorded(tmp_path)
    assert {step for step, _ in norms} == set(range(12))
    assert all(norms[2 * batch, layer] == norms[2 * batch + 1, layer] for batch in range(6) for layer in "03")
    updates = recorded(tmp_path, "update")
    assert [updates[0, "0"] > 0, updates[0, "3"] > 0, updates[1, "0"] > 0, updates[1, "3"] > 0] == [1, 0, 0, 1]
    found = losses(tmp_path)
    assert sorted(step for step, _ in found) == (list(range(12)) if returns_loss else [])
    if returns_loss:
        assert found[0, ""] == found[1, ""] == pytest.approx(loss_of(small_network(), BATCHES[0]).item())


class Token(nn.Module):
    """A network with parameters of its own beside its layers, as a vision transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, 4, 6))
        self.attention = nn.MultiheadAttention(6, 2)
        self.scale = Scale()
        self.norm = OwnNorm()
        self.mixer = Mixer()


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(6, 1, 1))


class OwnNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(6, 6))


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(4, 4, 1, groups=4), MATRIX),
        (nn.Linear(1, 7), MATRIX),
        (nn.GroupNorm(2, 4), NORM),
        (nn.BatchNorm3d(4), NORM),
        (nn.Embedding(5, 3), MATRIX),
        (nn.PReLU(), OTHER),
    ],
    ids=lambda value: getattr(value, "_get_name", lambda: value)(),
)
def test_the_kinds_of_torchs_layers(layer, kind):
    assert [found.kind for found in GradientNorms(layer).described] == [kind]


def test_the_kinds_of_other_peoples_layers():
    kinds = {layer.name: layer.kind for layer in GradientNorms(Token()).described}
    assert kinds == {
        "positions": OTHER,
        "attention": MATRIX,
        "attention.out_proj": MATRIX,
        "scale": OTHER,
        "norm": NORM,
        "mixer": MATRIX,
    }


def test_each_file_tells_its_layers(tmp_path):
    trained(Plain(), tmp_path)
    layers = layers_in(pq.read_schema(tmp_path / "gradient_norms.parquet"))
    assert [(layer.name, layer.depth, layer.size, layer.kind) for layer in layers] == [
        ("0", 0, 20, MATRIX),
        ("2", 0.5, 10, NORM),
        ("3", 1, 18, MATRIX),
    ]
    assert layers_in(pq.read_schema(tmp_path / "metrics.parquet")) == []
