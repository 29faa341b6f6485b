"""Both kinds of data go on from a checkpoint within Lightning, bit for bit."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from ablate.training.data import ImageFolder, InMemoryImages


class Recorder(pl.LightningModule):
    """Keeps (epoch, sum of the batch) of every training batch; stops the process at batch `crash`, if any."""

    def __init__(self, crash: int | None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.crash, self.seen = crash, []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if len(self.seen) == self.crash:
            raise KeyError("stopped here")
        images, labels = batch
        assert images.dtype == torch.float32
        self.seen.append(
            (self.current_epoch, (images.double().square() * (1 + labels[:, None, None, None])).sum().item())
        )
        return self.layer(images.mean().view(1, 1)).sum()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val", batch[1].float().mean(), batch_size=len(batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


def fit(data: pl.LightningDataModule, folder: Path, crash: int | None, ckpt: str | None, **when: object) -> list:
    module = Recorder(crash)
    callback = ModelCheckpoint(folder, save_last=True, save_top_k=-1, **when)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with contextlib.suppress(KeyError):
        trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    return module.seen


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize(
    ("when", "crash"),
    [
        ({"every_n_train_steps": 1}, 3),
        ({"every_n_train_steps": 1}, 10),
        ({"every_n_epochs": 1}, 10),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 10),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 11),
    ],
    ids=["step", "last-step", "validation", "epoch-end", "lost-batch"],
)
def test_lightning_goes_on_from_a_checkpoint_bit_for_bit(
    tmp_path: Path,
    folder: Path,
    kind: str,
    when: dict,
    crash: int,
    in_memory: Callable[..., InMemoryImages],
    image_folder: Callable[..., ImageFolder],
) -> None:
    def made() -> pl.LightningDataModule:
        return in_memory() if kind == "memory" else image_folder(folder, batch_size=5)

    whole = fit(made(), tmp_path / "whole", None, None)
    steps = 5
    assert len(whole) == 3 * steps and [epoch for epoch, _ in whole] == [0] * 5 + [1] * 5 + [2] * 5
    fit(made(), tmp_path / "run", crash, None, **when)
    resumed = fit(made(), tmp_path / "run", None, str(tmp_path / "run" / "last.ckpt"), **when)
    lost = crash % steps if "every_n_epochs" in when else 0
    assert resumed == whole[crash - lost :]
