"""Records every optimizer step without waiting for the device."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from ablate.training.gradients.flow import EarlyWarning
from ablate.training.gradients.norms import GradientNorms
from ablate.training.module import classifier_of
from ablate.training.saving.history import RunHistory

CAPACITY = 64  # steps held on the device between two copies to the host
# A run with more layers than this logs to W&B only the first, middle and last of each stage, one by one.
READABLE = 128


class StepRecorder(Callback):
    """Per optimizer step: the loss (the mean over its batches), the learning rate and every layer's gradient norm.

    The norms are those of the gradient that the optimizer is about to be given: unscaled, after accumulation
    and after the processes' reduction, before clipping, and where there is clipping, after it as well. Every
    `weights_every_n_steps`-th step has also the weights' norms and the update relative to them, which takes a copy
    of the weights for the length of that step.

    All of it stays on the device until a flush: every 64 steps, at the end of an epoch and before a checkpoint, one
    copy to the host for all. That is at most 64 steps x 4 norms of 8 bytes per layer: 227 kB for ResNet-56's 111
    layers, 4.9 MB for ResNet-1202's 2,403. The history gets every step, W&B every `log_every_n_steps`-th.

    A flush that finds a loss that is not finite stops the training; `diverged_at` is that step, else None.
    """

    def __init__(self, history: RunHistory, wandb_run: Any, every: DictConfig, log_every_n_steps: int) -> None:
        self.history, self.wandb_run = history, wandb_run
        self.every_n_steps, self.weights_every_n_steps = every.every_n_steps, every.weights_every_n_steps
        self.log_every_n_steps = log_every_n_steps
        self.diverged_at: int | None = None
        self._micro_losses: list[Tensor] = []
        self._stepping: int | None = None
        self._steps: list[tuple[int, int, float]] = []  # step, epoch, learning rate
        self._losses: list[Tensor] = []
        self._before: list[Tensor] = []  # the weights before the step, where its update is measured
        # By name, the steps that a norm was measured at, and the layers' norms at each.
        self._measured: dict[str, tuple[list[int], list[Tensor]]] = {
            name: ([], []) for name in ("norm", "clipped", "weight", "update")
        }

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = classifier_of(pl_module)
        self.gradient_norms = GradientNorms(module.network)
        self.warning = EarlyWarning(module.network, self.gradient_norms)
        self._series = series(self.gradient_norms)
        if trainer.gradient_clip_val:
            module.after_clipping = lambda optimizer: self._measure_clipped(trainer, optimizer)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        self._stepping = step = trainer.global_step
        self._steps.append((step, trainer.current_epoch, float(optimizer.param_groups[0]["lr"])))
        if not self._records(step, self.every_n_steps):
            return
        self._add("norm", step, self.gradient_norms.measure(_remaining_scale(trainer, optimizer)))
        if self._records(step, self.weights_every_n_steps):
            self._add("weight", step, self.gradient_norms.weights())
            self._before = self.gradient_norms.copied()

    def _measure_clipped(self, trainer: pl.Trainer, optimizer: Optimizer) -> None:
        if self._records(trainer.global_step, self.every_n_steps):
            norms = self.gradient_norms.measure(_remaining_scale(trainer, optimizer))
            self._add("clipped", trainer.global_step, norms)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._micro_losses.append(outputs["batch_loss"])
        if self._stepping is None:
            return
        if self._before:
            self._add("update", self._stepping, self.gradient_norms.update(self._before))
        losses = self._micro_losses
        self._losses.append(losses[0] if len(losses) == 1 else torch.stack(losses).mean())
        self._micro_losses, self._stepping, self._before = [], None, []
        if len(self._losses) >= CAPACITY:
            self.flush(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.flush(trainer)

    def flush(self, trainer: pl.Trainer) -> None:
        """Hand what has been recorded to the history and W&B. Every process must call it."""
        if not self._losses:
            return
        mean = trainer.strategy.reduce(torch.stack(self._losses).double(), reduce_op="mean")
        rows = [norms for _, measured in self._measured.values() for norms in measured]
        numbers = torch.cat([mean, *(norms.to(mean.device) for norms in rows)]).cpu()
        losses = numbers[: len(mean)]
        if trainer.is_global_zero:
            self._log(losses.tolist(), numbers[len(mean) :].view(len(rows), len(self.gradient_norms.layers)).numpy())
        for (step, _, _), finite in zip(self._steps, losses.isfinite().tolist(), strict=True):
            if not finite:
                self.diverged_at, trainer.should_stop = step, True
                break
        self._steps.clear()
        self._losses.clear()
        for steps, measured in self._measured.values():
            steps.clear()
            measured.clear()

    def _log(self, losses: list[float], rows: np.ndarray) -> None:
        steps = self._measured["norm"][0]
        columns = self._columns(rows)
        norms = np.ma.getdata(columns.pop("norm"))
        measured = self.gradient_norms
        if steps:
            columns["rms"] = np.ma.array(norms / np.sqrt(measured.sizes))
            self.history.log_gradient_norms(steps, measured.layers, measured.depths, norms, columns)
            self.warning.see(steps, norms)
        row_of = dict(zip(steps, norms, strict=True))
        for (step, epoch, rate), loss in zip(self._steps, losses, strict=True):
            values = {"train/loss_step": loss, "lr": rate, "epoch": epoch}
            self.history.log_metrics(values, step)
            if self.wandb_run is not None and step % self.log_every_n_steps == 0:
                if step in row_of:
                    norm_of = {measured.layers[i]: float(row_of[step][i]) for i in self._series}
                    values |= {f"grad_norm/{layer}": norm for layer, norm in norm_of.items() if not norm < 0}
                self.wandb_run.log({**values, "trainer/global_step": step})

    def _columns(self, rows: np.ndarray) -> dict[str, np.ma.MaskedArray]:
        """What has been measured, by name, each (steps, layers); masked at the steps that were left out."""
        row_of = {step: row for row, step in enumerate(self._measured["norm"][0])}
        columns: dict[str, np.ma.MaskedArray] = {}
        start = 0
        for name, (steps, _) in self._measured.items():
            column = np.ma.array(np.zeros((len(row_of), rows.shape[1])), mask=True)
            if steps:
                column[[row_of[step] for step in steps]] = rows[start : start + len(steps)]
            columns[name] = column
            start += len(steps)
        columns["update"] = columns["update"] / columns["weight"]  # masked where all weights are 0
        return columns

    def _add(self, name: str, step: int, norms: Tensor) -> None:
        steps, measured = self._measured[name]
        steps.append(step)
        measured.append(norms)

    @staticmethod
    def _records(step: int, every_n_steps: int) -> bool:
        return every_n_steps > 0 and step % every_n_steps == 0


def series(measured: GradientNorms) -> list[int]:
    """The layers that W&B gets a series of: all while that is readable, else three of each stage, which are
    its first, middle and last with a matrix or a kernel."""
    if len(measured.layers) <= READABLE:
        return list(range(len(measured.layers)))
    stages: dict[str, list[int]] = {}
    for i, layer in enumerate(measured.layers):
        if measured.has_weight[i]:
            stages.setdefault(layer.split(".")[0], []).append(i)
    return sorted({i for stage in stages.values() for i in (stage[0], stage[len(stage) // 2], stage[-1])})


def _remaining_scale(trainer: pl.Trainer, optimizer: Optimizer) -> Tensor | None:
    """The loss scale still on the gradients: a fused optimizer divides by it within its own step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
        return None
    return scaler._get_scale_async()
