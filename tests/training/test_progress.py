"""What a training shows of its progress."""

import io
import re
import signal
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from rich.console import Console
from rich.progress import Progress

from ablate.process.interrupt import Interrupted
from ablate.runs import cell
from ablate.training import progress
from ablate.training.epoch import resumed_at
from ablate.training.gradients.recorder import StepRecorder


def test_the_bar_counts_epochs_as_the_lines_do(monkeypatch):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    bar = progress.progress(bar=True)
    trainer = pl.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, callbacks=[bar], accelerator="cpu")
    bar.setup(trainer, pl.LightningModule(), "fit")
    shown = [bar._get_train_description(number).strip() for number in range(3)]
    assert shown == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert str(progress.Epoch(3, 3, {}, 1.0)).startswith("epoch 3/3")


def test_the_bar_says_that_it_counts_batches_and_writes_percent_as_the_lines_do(monkeypatch):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    bar = progress.progress(bar=True)
    assert isinstance(bar, progress.Bar)
    trainer = pl.Trainer(max_epochs=20, logger=False, enable_checkpointing=False, callbacks=[bar], accelerator="cpu")
    bar.setup(trainer, pl.LightningModule(), "fit")
    shown = io.StringIO()
    with Progress(*bar.configure_columns(trainer), console=Console(file=shown, width=80)) as drawn:
        task = drawn.add_task("Epoch 3/20", total=20)
        drawn.update(task, completed=12)
    (line,) = shown.getvalue().strip().splitlines()
    assert line.startswith("Epoch 3/20 ") and " batch 12/20 " in line
    module = pl.LightningModule()
    monkeypatch.setattr(RichProgressBar, "get_metrics", lambda *_: {"val/acc": 0.9125, "train/loss": 0.25, "v_num": 1})
    assert bar.get_metrics(trainer, module) == {"val/acc": "91.25%", "train/loss": 0.25}
    assert "val/acc 91.25%  train/loss 0.2500" in str(progress.Epoch(1, 2, {"val/acc": 0.9125, "train/loss": 0.25}, 1))


def lines_of(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_a_long_epoch_says_how_far_it_is_in_plain_lines(prepared, monkeypatch, capsys):
    clock = iter(range(10**6))  # a second for each look at it
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "FIRST", 3)
    monkeypatch.setattr(progress, "EVERY", 6)
    cell.run(prepared("trainer.max_epochs=2", "data.eval_batch_size=16"))
    printed = capsys.readouterr().out
    first, *others = lines_of(printed, "epoch 1/2  batch")
    assert re.fullmatch(r"epoch 1/2  batch 3/10, the other 7 in about \d+ s", first)
    assert [int(re.search(r"batch (\d+)/10", line)[1]) for line in others] == [9]
    assert lines_of(printed, "epoch 2/2  validation batch") and lines_of(printed, "epoch 2/2  test batch")
    assert printed.index("epoch 1/2  batch") < printed.index("epoch 1/2  train/loss")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", printed)


def test_the_time_left_is_by_the_latest_batches(monkeypatch):
    """Neither by the first one, which waits for workers, nor by those from before the machine became busy or idle."""
    trainer = SimpleNamespace(
        is_global_zero=True, current_epoch=0, max_epochs=1, num_training_batches=1_000, num_val_batches=[10, 10]
    )
    now, told = 0.0, []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    lines = progress.EpochLines(tell=told.append)
    lines.on_train_start(trainer, None)
    paces = [30.0] + [1.0] * 20 + [4.0] * 20  # seconds of each batch
    for i, seconds in enumerate(paces):
        now += seconds
        lines.on_train_batch_end(trainer, None, None, None, i)
    assert [(line.done, line.seconds) for line in told][:2] == [(1, None), (16, 1.0)]
    assert "in about" not in str(told[0]) and "in about" in str(told[1])
    assert told[-1].seconds == 4.0
    lines.on_validation_start(trainer, None)
    for loader in range(2):
        for i in range(10):
            now += 2.0
            lines.on_validation_batch_end(trainer, None, None, None, i, loader)
    assert {line.seconds for line in told if line.what == "validation batch"} == {2.0}
    lines.on_validation_end(trainer, None)
    now += 16.0
    lines.on_train_batch_end(trainer, None, None, None, 41)
    assert (told[-1].done, told[-1].seconds) == (42, 16.0)


def test_a_short_epoch_is_one_line(prepared, capsys):
    cell.run(prepared("trainer.max_epochs=2"))
    printed = lines_of(capsys.readouterr().out, "epoch")
    assert [line.split("  ")[0] for line in printed] == ["epoch 1/2", "epoch 2/2"]


@pytest.fixture
def interrupted_at(monkeypatch):
    """interrupted_at(step): the next training is interrupted after so many optimizer steps."""
    original = StepRecorder.on_before_optimizer_step

    def interrupt(step: int) -> None:
        def stopped(self, trainer, pl_module, optimizer):
            original(self, trainer, pl_module, optimizer)
            if trainer.global_step == step - 1:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(StepRecorder, "on_before_optimizer_step", stopped)

    yield interrupt
    monkeypatch.setattr(StepRecorder, "on_before_optimizer_step", original)


def test_a_resumed_run_says_where_and_shows_the_epoch_that_was_interrupted(prepared, interrupted_at, capsys):
    small = prepared("trainer.max_epochs=3")
    interrupted_at(14)
    with pytest.raises(Interrupted):
        cell.run(small)
    told = []
    cell.run(small, begins=lambda directory, resumed: told.append(resumed))
    printed = lines_of(capsys.readouterr().out, "epoch")
    assert told == ["in epoch 2/3 (step 15 of 30)"]
    assert [line.split("  ")[0] for line in printed] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_where_a_training_resumes_in_words():
    trainer = {"max_epochs": 4, "accumulate_grad_batches": 2}
    assert resumed_at(7, trainer, 10) == "in epoch 2/4 (step 8 of 20)"
    assert resumed_at(7, {**trainer, "max_steps": 9}, 10) == "in epoch 2/4 (step 8 of 9)"
    assert resumed_at(3, {**trainer, "limit_train_batches": 0.4}, 10) == "in epoch 2/4 (step 4 of 8)"
    assert resumed_at(20, trainer, 10) == "after the last of 20 steps"
