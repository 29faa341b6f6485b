"""What a training shows of its progress."""

import pytorch_lightning as pl

from ablate.training import progress


def test_the_bar_counts_epochs_as_the_lines_do(monkeypatch):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True, raising=False)
    bar = progress.progress(bar=True)
    trainer = pl.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, callbacks=[bar], accelerator="cpu")
    bar.setup(trainer, pl.LightningModule(), "fit")
    shown = [bar._get_train_description(number).strip() for number in range(3)]
    assert shown == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert str(progress.Epoch(3, 3, {}, 1.0)).startswith("epoch 3/3")
