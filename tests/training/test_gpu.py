"""What holds on a GPU alone; skipped where there is none."""

import os
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from ablate.errors import InputError
from ablate.process import processors
from ablate.process.interrupt import StopRequest
from ablate.runs import cell
from ablate.sweep.engines import packing, pool, pool_worker
from ablate.sweep.engines.similar import Similar
from ablate.training import settings
from ablate.training.gradients.recorder import StepRecorder

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

FIRST, LAST = 3, 8  # of an epoch's ten batches: the first ones make buffers, the last one ends in an evaluation


@pytest.fixture
def unsynchronised(monkeypatch):
    """Makes every wait for the GPU an error from the FIRST batch on, up to the LAST; holds the batches guarded."""
    guarded: list[int] = []

    def on_train_batch_start(self: Any, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if FIRST <= batch_idx < LAST else "default")
        if FIRST <= batch_idx < LAST:
            guarded.append(batch_idx)

    monkeypatch.setattr(StepRecorder, "on_train_batch_start", on_train_batch_start)
    yield guarded
    torch.cuda.set_sync_debug_mode("default")


@on_gpu
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["trainer.precision=32-true", "trainer.gradient_clip_val=0.5", "optimizer=adamw"],
        ["trainer.precision=bf16-mixed", "trainer.accumulate_grad_batches=2", "data.shift=1", "data.flip=true"],
        ["gradient_norms.weights_every_n_steps=1", "shortcut=dropout"],
    ],
)
def test_a_step_does_not_wait_for_the_gpu(prepared, unsynchronised, overrides):
    record, _ = cell.run(prepared("trainer=gpu", "trainer.max_epochs=1", *overrides))
    assert record.status == "finished"
    assert unsynchronised == list(range(FIRST, LAST))


@on_gpu
def test_nor_for_files(prepared, unsynchronised, folder: Path):
    files = (
        "data=image_folder",
        f"data.root={folder}",
        "data.image_size=32",
        "data.num_classes=3",
        "data.num_workers=0",
    )
    record, _ = cell.run(prepared("trainer=gpu", "trainer.max_epochs=1", *files, "data.batch_size=3"))
    assert record.status == "finished" and len(unsynchronised) == LAST - FIRST


@on_gpu
def test_a_wait_would_be_seen(prepared, unsynchronised, monkeypatch):
    def waits(self: Any, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        outputs["loss"].item()

    monkeypatch.setattr(StepRecorder, "on_train_batch_end", waits)
    with pytest.raises(RuntimeError, match="synchronizing"):
        cell.run(prepared("trainer=gpu", "trainer.max_epochs=1"))


@on_gpu
def test_what_makes_a_gpu_fast_is_on(prepared, monkeypatch):
    seen: dict[str, bool] = {}

    def look(self: Any, trainer: pl.Trainer, module: Any, optimizer: torch.optim.Optimizer) -> None:
        convolution = next(p for p in module.network.parameters() if p.ndim == 4 and p.shape[1] > 1)
        seen["channels last"] = convolution.is_contiguous(memory_format=torch.channels_last)
        seen["fused"] = bool(optimizer.param_groups[0]["fused"])
        seen["TF32"] = torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "high"
        seen["metrics"] = all(m.device.type == "cuda" for split in module.metrics.values() for m in split.values())
        trainer.should_stop = True

    monkeypatch.setattr(StepRecorder, "on_before_optimizer_step", look)
    monkeypatch.setattr(StepRecorder, "on_train_batch_end", lambda *arguments: None)
    cell.run(prepared("trainer=gpu", "trainer.precision=32-true", "trainer.max_epochs=1"))
    assert seen == dict.fromkeys(("channels last", "fused", "TF32", "metrics"), True)


@on_gpu
@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_network_that_is_replayed_from_cuda_graphs_has_the_same_gradient_norms(prepared, optimizer):
    import pyarrow.parquet as pq

    # As in the test of compiled networks on the CPU: small steps, and no ReLU, whose corner magnifies.
    same = (f"optimizer={optimizer}", "optimizer.lr=1e-5", "activation=gelu", "trainer.max_epochs=3")
    exact = ("trainer=gpu", "trainer.precision=32-true", "matmul_precision=highest")
    tables = []
    for mode in ("null", "reduce-overhead"):
        chosen = prepared(*same, *exact, f"compile={mode}")
        assert cell.run(chosen)[0].status == "finished"
        tables.append(pq.read_table(chosen.directory / "gradient_norms.parquet").to_pydict())
    assert tables[0]["step"] == tables[1]["step"] and tables[0]["layer"] == tables[1]["layer"]
    assert tables[1]["norm"] == pytest.approx(tables[0]["norm"], rel=1e-3)


def test_gradients_are_not_summed_over_cuda_graphs(prepared, monkeypatch):
    compiled = ("compile=reduce-overhead", "trainer.accumulate_grad_batches=2")
    assert prepared(*compiled).cfg.compile == "reduce-overhead"  # the CPU has no such graphs
    monkeypatch.setattr(settings, "_gpus", lambda: 1)
    with pytest.raises(InputError, match=r"compile=reduce-overhead clashes .* Use compile=default"):
        prepared(*compiled, "trainer=gpu")


@on_gpu
def test_one_run_is_timed_against_two_at_a_time(prepared):
    values = prepared("trainer=gpu").values
    pool.prepare()
    found = pool.trial(values, os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])
    print("\n".join(packing.said(found, packing.workers(found, processors.usable()), 1, False)))
    assert 0 < found.peak < found.free and found.one > 0 and found.two > 0


@on_gpu
def test_a_worker_has_its_share_of_the_memory_and_no_more(prepared):
    _ours, theirs = Pipe()  # a pipe whose other end is gone cannot be written to
    chosen = ["trainer=gpu", "trainer.max_epochs=1", f"runs_dir={prepared().cfg.runs_dir}", "tracking=disabled"]
    compose = Similar()
    assert pool_worker._outcome(chosen, 10**6, StopRequest(), theirs, compose).status == pool_worker.OUT_OF_MEMORY
    assert pool_worker._outcome(chosen, 1, StopRequest(), theirs, compose).status == "finished"  # the others have gone
