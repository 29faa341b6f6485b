"""gradient_norms.parquet of real runs against plain torch.autograd: the loop of norms_by_hand."""

import inspect
import math
import shutil
from functools import partial
from typing import Any

import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

from ablate.errors import InputError
from ablate.runs import cell
from ablate.training import build
from tests.training.norms_by_hand import BASE, Norms, assert_equal, by_hand, recorded


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
    record, _ = cell.run(chosen)
    others: dict[str, Norms] = {}
    assert_equal(recorded(chosen.directory), by_hand(chosen.cfg, others=others))
    rows = pq.read_table(chosen.directory / "metrics.parquet").to_pylist()
    losses = {(row["step"], ""): row["value"] for row in rows if row["name"] == "train/loss_step"}
    assert_equal(losses, others["loss"], rel=1e-4)
    assert record.summary["train/loss_step"] == losses[max(losses)]


def test_the_epochs_last_step_has_the_gradient_of_its_own_batches(prepared):
    # The last two of ten batches make the last step of both, once of three and once of two. Nothing moves, and no norm
    # looks at the batch.
    still = ("optimizer.lr=0", "norm=none", "data.shift=0", "trainer.max_epochs=1")
    last = []
    for batches in (4, 2):
        chosen = prepared(*BASE[:3], *still, f"trainer.accumulate_grad_batches={batches}")
        cell.run(chosen)
        norms = recorded(chosen.directory)
        last.append(norms[max(step for step, _ in norms), "head.linear"])
    assert last[0] == pytest.approx(last[1], rel=1e-5)


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


@pytest.mark.long
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler, which torch.compile needs on a CPU")
def test_a_compiled_network(prepared):
    # Fused kernels round otherwise: steps too small to carry it on, and no ReLU, whose corner magnifies it.
    chosen = prepared(*BASE, "compile=default", "trainer.max_epochs=1", "optimizer.lr=1e-5", "activation=gelu")
    cell.run(chosen)
    assert_equal(recorded(chosen.directory), by_hand(chosen.cfg), rel=1e-3)


def test_two_processes_record_the_norms_of_one(prepared):
    # Without batch norm, whose statistics are each process's own.
    chosen = [*BASE, "norm=none", "optimizer.lr=0.02", "trainer.accumulate_grad_batches=4"]
    both = prepared(*chosen, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    result, _ = cell.run(both)
    assert result.status == "finished" and len({step for step, _ in recorded(both.directory)}) == 6
    assert_equal(recorded(both.directory), by_hand(both.cfg), rel=1e-3)
