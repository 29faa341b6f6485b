"""What a training shows of its progress."""

import io

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from rich.console import Console
from rich.progress import Progress

from ablate.training import progress


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
