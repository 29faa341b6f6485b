"""What training shows on the terminal while it runs."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar


def progress(bar: bool) -> Callback:
    """Lightning's rich progress bar on a terminal, if a `bar` is wanted; else one line per epoch."""
    return Bar(refresh_rate=10, leave=False) if bar and sys.stdout.isatty() else EpochLines()


class Bar(RichProgressBar):
    """Lightning's, without the logger's version, which says nothing to anybody here."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}


class EpochLines(Callback):
    """One plain line per epoch."""

    def __init__(self) -> None:
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._print_last(trainer, trainer.current_epoch)
        self._started = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._print_last(trainer, trainer.current_epoch)

    def _print_last(self, trainer: pl.Trainer, epochs: int) -> None:
        """The epoch that has ended, if one has: only now are all of its metrics there."""
        if self._started is None or not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        shown = [name for name in ("train/loss", "train/acc", "val/loss", "val/acc") if name in metrics]
        numbers = "  ".join(f"{name} {float(metrics[name]):.4f}" for name in shown)
        seconds = time.monotonic() - self._started
        print(f"epoch {epochs}/{trainer.max_epochs}  {numbers}  {seconds:.1f} s", flush=True)
