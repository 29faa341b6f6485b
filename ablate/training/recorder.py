"""Records every optimizer step without waiting for the device."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from ablate.training.gradient_norms import GradientNorms
from ablate.training.history import RunHistory
from ablate.training.module import network_of

CAPACITY = 64  # steps held on the device between two copies to the host


class StepRecorder(Callback):
    """Per optimizer step: the loss, the learning rate and every layer's gradient norm.

    The norms are those of the gradient that the optimizer is about to be given: unscaled, after accumulation
    and after the processes' reduction, before clipping. All of it stays on the device until a flush: every 64
    steps, at the end of an epoch and before a checkpoint, one copy to the host for all. The history gets every step,
    W&B every `log_every_n_steps`-th.

    A flush that finds a loss that is not finite stops the training; `diverged_at` is that step, else None.
    """

    def __init__(self, history: RunHistory, wandb_run: Any, every_n_steps: int, log_every_n_steps: int) -> None:
        self.history, self.wandb_run = history, wandb_run
        self.every_n_steps, self.log_every_n_steps = every_n_steps, log_every_n_steps
        self.diverged_at: int | None = None
        self._micro_losses: list[Tensor] = []
        self._stepping: int | None = None
        self._steps: list[tuple[int, int, float]] = []  # step, epoch, learning rate
        self._losses: list[Tensor] = []
        self._norm_steps: list[int] = []
        self._norms: list[Tensor] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.gradient_norms = GradientNorms(network_of(pl_module))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        self._stepping = step = trainer.global_step
        self._steps.append((step, trainer.current_epoch, float(optimizer.param_groups[0]["lr"])))
        if self.every_n_steps and step % self.every_n_steps == 0:
            self._norm_steps.append(step)
            self._norms.append(self.gradient_norms.measure(_remaining_scale(trainer, optimizer)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._micro_losses.append(outputs["loss"].detach())
        if self._stepping is not None:
            losses = self._micro_losses
            self._losses.append(losses[0] if len(losses) == 1 else torch.stack(losses).mean())
            self._micro_losses, self._stepping = [], None
            if len(self._losses) >= CAPACITY:
                self.flush(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.flush(trainer)

    def flush(self, trainer: pl.Trainer) -> None:
        """Hand what has been recorded to the history and W&B. Every process must call it."""
        if not self._losses:
            return
        mean = trainer.strategy.reduce(torch.stack(self._losses).double(), reduce_op="mean")
        numbers = torch.cat([mean, *(norms.to(mean.device) for norms in self._norms)]).cpu()
        losses = numbers[: len(mean)].tolist()
        norms = numbers[len(mean) :].view(len(self._norms), len(self.gradient_norms.layers)).numpy()
        if trainer.is_global_zero:
            self._log(losses, norms)
        for (step, _, _), finite in zip(self._steps, numbers[: len(mean)].isfinite().tolist(), strict=True):
            if not finite:
                self.diverged_at, trainer.should_stop = step, True
                break
        for buffer in (self._steps, self._losses, self._norm_steps, self._norms):
            buffer.clear()

    def _log(self, losses: list[float], norms: Any) -> None:
        recorder = self.gradient_norms
        if len(norms):
            self.history.log_gradient_norms(self._norm_steps, recorder.layers, recorder.depths, norms)
        rows = dict(zip(self._norm_steps, norms.tolist(), strict=True))
        for (step, epoch, rate), loss in zip(self._steps, losses, strict=True):
            values = {"train/loss_step": loss, "lr": rate, "epoch": epoch}
            self.history.log_metrics(values, step)
            if self.wandb_run is not None and step % self.log_every_n_steps == 0:
                by_layer = zip(recorder.layers, rows.get(step, []), strict=False)
                values |= {f"grad_norm/{layer}": norm for layer, norm in by_layer if not norm < 0}
                self.wandb_run.log({**values, "trainer/global_step": step})


def _remaining_scale(trainer: pl.Trainer, optimizer: Optimizer) -> Tensor | None:
    """The loss scale still on the gradients: a fused optimizer divides by it within its own step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
        return None
    return scaler._get_scale_async()
