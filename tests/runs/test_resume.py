"""A run that was stopped, killed or half-written goes on as if nothing had happened."""

import json
import os
import signal
import sys
from pathlib import Path
from unittest.mock import Mock

import pyarrow.parquet as pq
import pytest
import torch

from ablate.configuration.refusals.guard import guarded
from ablate.process.interrupt import Interrupted, StopRequest
from ablate.report.terminal import plan_table
from ablate.runs import cell, record
from ablate.sweep.engines import pool_worker
from ablate.sweep.engines.similar import Similar
from ablate.sweep.execution import to_run
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from ablate.training import build
from ablate.training.gradients.recorder import StepRecorder
from ablate.training.module import Classifier
from tests import process

RECIPES = {
    "cosine": ["schedule=cosine", "schedule.warmup.fraction=0.2"],
    "plateau": ["schedule=reduce_on_plateau", "schedule.patience=0", "schedule.warmup.fraction=0.3"],
    "dropout": ["shortcut=dropout", "schedule=one_cycle", "optimizer=adamw"],
    "validating": ["+trainer.val_check_interval=5", "result=best"],
    "validating across epochs": ["+trainer.check_val_every_n_epoch=null", "+trainer.val_check_interval=7"],
    "accumulating": ["trainer.accumulate_grad_batches=3", "schedule=multi_step", "result=best"],
}


def signalled_at(monkeypatch: pytest.MonkeyPatch, step: int, signum: int) -> None:
    """The process gets `signum` in the middle of optimizer step `step`, once."""
    original = StepRecorder.on_before_optimizer_step

    def hook(self, trainer, pl_module, optimizer):  # type: ignore[no-untyped-def]
        original(self, trainer, pl_module, optimizer)
        if trainer.global_step == step:
            signal.raise_signal(signum)

    monkeypatch.setattr(StepRecorder, "on_before_optimizer_step", hook)


def files_equal(one: Path, other: Path) -> None:
    for name in ("metrics", "gradient_norms"):
        tables = [pq.read_table(folder / f"{name}.parquet") for folder in (one, other)]
        ordered = [sorted(tuple(row.values()) for row in table.to_pylist()) for table in tables]
        assert len(ordered[0]) > 0
        assert ordered[0] == ordered[1], f"{name}.parquet differs"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return tmp_path_factory.mktemp("undisturbed")


# Every moment for one recipe, every recipe at two: at the end of an epoch and in one, some followed by a validation.
STOPPED = [(recipe, step) for recipe in RECIPES for step in (0, 4, 9, 13)]
FEW = [(recipe, step) for recipe, step in STOPPED if recipe == "validating" or step in (9, 13)]


@pytest.mark.parametrize(
    ("recipe", "step"), [*FEW, *(pytest.param(*both, marks=pytest.mark.long) for both in STOPPED if both not in FEW)]
)
def test_an_interrupted_run_ends_with_the_numbers_of_an_undisturbed_one(
    prepared, undisturbed, monkeypatch, recipe, step
):
    if recipe == "accumulating":
        step //= 3
    of_epoch = 4 if recipe == "accumulating" else 10
    overrides = ["trainer.max_epochs=3", *RECIPES[recipe]]
    whole = prepared(*overrides, runs=undisturbed / recipe)
    cell.run(whole)  # the first time
    stopped = prepared(*overrides, runs="stopped")
    with monkeypatch.context() as patch:
        signalled_at(patch, step, signal.SIGTERM)
        with pytest.raises(Interrupted) as stop:
            cell.run(stopped)
    assert stop.value.signum == signal.SIGTERM
    assert record.read(stopped.directory).status == "interrupted"

    starts = []
    result, trained = cell.run(stopped, begins=lambda directory, step: starts.append((directory, step)))
    assert trained and result.status == "finished" and result.resumed
    resumed_at = (
        f"in epoch {(step + 1) // of_epoch + 1}/3 (step {step + 2} of {3 * of_epoch})"  # the next one, counted from 1
    )
    assert starts == [(stopped.directory, resumed_at)]
    assert result.summary == record.read(whole.directory).summary
    files_equal(whole.directory, stopped.directory)


def test_a_run_that_dies_while_it_validates_has_that_validation_once_it_is_resumed(prepared, monkeypatch):
    often = ["trainer.max_epochs=2", "+trainer.val_check_interval=5", "checkpoint.every_n_steps=1"]
    whole, died = prepared(*often, runs="whole"), prepared(*often, runs="died")
    cell.run(whole)

    def fails(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        raise RuntimeError("the power fails")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the power fails"):
        patch.setattr(Classifier, "validation_step", fails)
        cell.run(died)
    assert max(path.name for path in (died.directory / "checkpoints").iterdir()) == "step-000000004.ckpt"
    cell.run(died)
    files_equal(whole.directory, died.directory)


@pytest.mark.parametrize("interval", [3, 10])
def test_the_best_weights_are_those_that_the_metric_was_measured_with(prepared, interval):
    often = f"+trainer.val_check_interval={interval}"
    chosen = prepared("result=best", "trainer.max_epochs=4", often, "optimizer.lr=0.2", "trainer.precision=32-true")
    record, _ = cell.run(chosen)
    rows = pq.read_table(chosen.directory / "metrics.parquet").to_pylist()
    measured = [row["value"] for row in rows if row["name"] == "val/acc"]
    assert len(measured) == 4 * (10 // interval)
    net, data = build.initialised_network(chosen.cfg), build.images(chosen.cfg)
    net.load_state_dict(torch.load(chosen.directory / "checkpoints" / "best.pt", weights_only=True))
    data.setup("fit")
    for split, expected in (("val", max(measured)), ("test", record.summary["test/acc"])):
        right = []
        for batch in getattr(data, f"{split}_dataloader")():
            images, labels = data.on_after_batch_transfer(batch, 0)
            with torch.no_grad():
                right.append(net.eval()(images).argmax(1) == labels)
        assert torch.cat(right).double().mean().item() == pytest.approx(expected, abs=1e-6)


def test_a_run_whose_time_is_over_is_interrupted_and_ends_with_the_numbers_of_an_undisturbed_one(prepared, capsys):
    short = ["trainer.max_epochs=2", "+trainer.limit_train_batches=3"]
    whole, timed = prepared(*short, runs="whole"), prepared(*short, "+trainer.max_time=00:00:00:00", runs="timed")
    assert timed.fingerprint == whole.fingerprint, "how long it may take is no part of a result"
    cell.run(whole)
    for step in range(1, 6):  # without time, there is one step at a time; the last epoch's end is the end
        assert guarded(cell.run, timed) == 143
        assert f"trainer.max_time is over after optimizer step {step}, in epoch" in capsys.readouterr().err
        stored = record.read(timed.directory)
        assert stored.status == "interrupted" and "the same command resumes it" in stored.reason
    result, _ = cell.run(timed)
    assert result.status == "finished" and result.reason is None
    assert result.summary == record.read(whole.directory).summary
    files_equal(whole.directory, timed.directory)


def test_a_sweeps_cell_whose_time_is_over_is_left_to_do(prepared, tmp_path, capsys):
    timed = prepared("trainer.max_epochs=2", "+trainer.max_time={seconds:0}")
    outcome = pool_worker._outcome(timed.composition.overrides, None, StopRequest(), Mock(), Similar())
    assert outcome.status == "interrupted" and outcome.reason.startswith("trainer.max_time is over")
    file = tmp_path / "timed.yaml"
    file.write_text(json.dumps({"method": "grid", "parameters": {"seed": {"values": [0, 1]}}}))
    typed = [text for text in timed.composition.overrides if not text.startswith("seed=")]
    cells = plan(SweepFile.read(file), typed)
    assert [c.status for c in cells] == ["interrupted", "to do"] and cells == to_run(cells, retry_failed=False)
    plan_table.show(SweepFile.read(file), cells, as_json=False, every=True)
    assert "interrupted seed=0: trainer.max_time is over after optimizer step 1" in capsys.readouterr().out


def test_a_torn_checkpoint_falls_back_to_the_one_before(prepared, monkeypatch):
    whole = prepared("trainer.max_epochs=4", runs="whole")
    cell.run(whole)
    stopped = prepared("trainer.max_epochs=4", runs="stopped")
    with monkeypatch.context() as patch:
        signalled_at(patch, 35, signal.SIGINT)
        with pytest.raises(Interrupted):
            cell.run(stopped)
    newest = max((stopped.directory / "checkpoints").glob("step-*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    cell.run(stopped)
    files_equal(whole.directory, stopped.directory)


KILLED_AT_STEP = """
import os, signal, sys
from ablate.training.gradients.recorder import StepRecorder
original = StepRecorder.on_before_optimizer_step
def hook(self, trainer, module, optimizer):
    if trainer.global_step == int(os.environ["KILL_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, trainer, module, optimizer)
StepRecorder.on_before_optimizer_step = hook
from ablate.__main__ import main
main()
"""


def test_kill_9_loses_nothing_that_a_checkpoint_held(prepared, tmp_path):
    overrides = ["trainer.max_epochs=3", "checkpoint.every_n_steps=4"]
    whole = prepared(*overrides, runs="whole")
    cell.run(whole)
    killed = prepared(*overrides, runs="killed")
    command = [sys.executable, "-c", KILLED_AT_STEP, *killed.composition.overrides]
    ended = process.run(command, env={**os.environ, "KILL_AT": "17"}, cwd=tmp_path)
    assert ended.returncode == -signal.SIGKILL
    assert json.loads((killed.directory / "run.json").read_text())["status"] == "running"
    assert max(p.name for p in (killed.directory / "checkpoints").iterdir()) == "step-000000016.ckpt"
    result, _ = cell.run(killed)
    assert result.resumed
    files_equal(whole.directory, killed.directory)
