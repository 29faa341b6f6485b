"""Records every optimizer step without waiting for the device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.optim import Optimizer

from ablate.training.gradients.flow import EarlyWarning
from ablate.training.gradients.layers import MATRIX
from ablate.training.gradients.norms import GradientNorms
from ablate.training.saving.history import RunHistory
from ablate.training.saving.trackers import Trackers

CAPACITY = 64  # steps held on the device between two copies to the host
READABLE = 32  # series; networks of which three for each stage are more have their depth in quarters for stages


@dataclass(frozen=True)
class _Step:
    """An optimizer step. has_loss: whether any of its batches has a loss."""

    number: int
    epoch: int
    rate: float
    has_loss: bool = True


@dataclass(frozen=True)
class _Row:
    """What was measured at a step, for one column of gradient_norms.parquet: a number for each layer."""

    column: str
    step: int
    numbers: Tensor


class StepRecorder(Callback):
    """Records for each optimizer step the loss (mean over its batches), the learning rate and all gradient norms.

    The norms are those of the gradient that the optimizer gets: unscaled, accumulated, reduced over the ranks. They are
    measured before clipping, and if the run clips, also after it. Every `weights_every_n_steps` steps the norms of the
    weights and of their relative update are recorded too, for which the weights are copied during the step.

    Everything stays on the device until a flush, which makes one copy to the host: every 64 steps, at the end of an
    epoch and before a checkpoint. That is at most 64 steps x 4 norms of 8 bytes per layer: 227 kB for ResNet-56's 111
    layers, 4.9 MB for ResNet-1202's 2,403. The history gets every step, trackers every `log_every_n_steps`-th.

    If a flush finds a loss that is not finite, it stops the training. `diverged_at` is that step, else None.

    Works with any LightningModule that trains `network`, also with manual optimization. A batch's loss is what
    training_step returns, or `batch_loss` if it returns a dictionary that has it. Without a loss, a step has no
    train/loss_step.
    """

    def __init__(
        self,
        history: RunHistory,
        trackers: Trackers | None,
        network: nn.Module,
        every: DictConfig,
        log_every_n_steps: int,
    ) -> None:
        self.history, self.trackers, self.network = history, trackers, network
        self.every_n_steps, self.weights_every_n_steps = every.every_n_steps, every.weights_every_n_steps
        self.which: str = every.series
        self.log_every_n_steps = log_every_n_steps
        self.diverged_at: int | None = None
        self._micro_losses: list[Tensor] = []
        self._stepping: list[_Step] = []  # steps of the current batch: several if there are several optimizers
        self._before: tuple[int, list[Tensor]] | None = None  # a step to measure the update of, and weights before it
        self._steps: list[_Step] = []
        self._losses: list[Tensor] = []  # of the steps; 0 for a step without a loss
        self._rows: list[_Row] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.gradient_norms = GradientNorms(self.network)
        self.warning = EarlyWarning(self.network, self.gradient_norms)
        self._series = series(self.gradient_norms, self.which)
        if self.trackers is not None:
            self.trackers.expect(f"grad_norm/{self.gradient_norms.layers[i]}" for i in self._series)
        if trainer.gradient_clip_val or is_overridden("configure_gradient_clipping", pl_module):
            # Callbacks have no hook between clipping and the optimizer's step, so the module's own hook is wrapped.
            after = self._measured_after(trainer, pl_module.configure_gradient_clipping)
            pl_module.configure_gradient_clipping = after  # type: ignore[method-assign]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        self._measure_update()
        step = trainer.global_step
        self._stepping.append(_Step(step, trainer.current_epoch, float(optimizer.param_groups[0]["lr"])))
        if not self._records(step, self.every_n_steps):
            return
        self._rows.append(_Row("norm", step, self.gradient_norms.measure(_remaining_scale(trainer, optimizer))))
        if self._records(step, self.weights_every_n_steps):
            self._rows.append(_Row("weight", step, self.gradient_norms.weights()))
            self._before = step, self.gradient_norms.copied()

    def _measured_after(self, trainer: pl.Trainer, clip: Callable[..., None]) -> Callable[..., None]:
        """A function that calls `clip`, the module's hook, and then measures the clipped gradients."""

        def clip_and_measure(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            clip(optimizer, *args, **kwargs)
            step = trainer.global_step
            if self._records(step, self.every_n_steps):
                norms = self.gradient_norms.measure(_remaining_scale(trainer, optimizer))
                self._rows.append(_Row("clipped", step, norms))

        return clip_and_measure

    def _measure_update(self) -> None:
        if self._before is not None:
            step, weights = self._before
            self._rows.append(_Row("update", step, self.gradient_norms.update(weights)))
            self._before = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Under automatic optimization, Lightning has divided the loss by the number of batches of a step.
        loss = _batch_loss(outputs or {}, trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1)
        if loss is not None:
            self._micro_losses.append(loss)
        if not self._stepping:
            return
        self._measure_update()
        losses = self._micro_losses or [torch.zeros((), device=pl_module.device)]
        mean = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        for step in self._stepping:
            self._steps.append(replace(step, has_loss=bool(self._micro_losses)))
            self._losses.append(mean)
        self._micro_losses, self._stepping = [], []
        if len(self._losses) >= CAPACITY:
            self.flush(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.flush(trainer)

    def flush(self, trainer: pl.Trainer) -> None:
        """Pass what has been recorded to the history and the trackers. All ranks must call it."""
        if not self._losses:
            return
        mean = trainer.strategy.reduce(torch.stack(self._losses).double(), reduce_op="mean")
        numbers = torch.cat([mean, *(row.numbers.to(mean.device) for row in self._rows)]).cpu()
        losses = numbers[: len(mean)]
        if trainer.is_global_zero:
            measured = numbers[len(mean) :].view(len(self._rows), len(self.gradient_norms.layers))
            self._log(losses.tolist(), measured.numpy())
        for step, finite in zip(self._steps, losses.isfinite().tolist(), strict=True):
            if not finite:
                self.diverged_at, trainer.should_stop = step.number, True
                break
        self._steps.clear()
        self._losses.clear()
        self._rows.clear()

    def _log(self, losses: list[float], numbers: np.ndarray) -> None:
        """Log the steps. numbers: (rows, layers), the measured norms of `self._rows`."""
        steps = [row.step for row in self._rows if row.column == "norm"]
        columns = self._columns(steps, numbers)
        norms = np.ma.getdata(columns.pop("norm"))
        measured = self.gradient_norms
        if steps:
            columns["rms"] = np.ma.array(norms / np.sqrt(measured.sizes))
            self.history.log_gradient_norms(steps, measured.layers, measured.depths, norms, columns)
            self.warning.see(steps, norms)
        row_of = dict(zip(steps, norms, strict=True))
        for step, loss in zip(self._steps, losses, strict=True):
            values = {"lr": step.rate, "epoch": step.epoch}
            if step.has_loss:
                values = {"train/loss_step": loss, **values}
            self.history.log_metrics(values, step.number)
            if self.trackers is not None and step.number % self.log_every_n_steps == 0:
                if step.number in row_of:
                    norm_of = {measured.layers[i]: float(row_of[step.number][i]) for i in self._series}
                    values |= {f"grad_norm/{layer}": norm for layer, norm in norm_of.items() if not norm < 0}
                self.trackers.log({**values, "trainer/global_step": step.number})

    def _columns(self, steps: list[int], numbers: np.ndarray) -> dict[str, np.ma.MaskedArray]:
        """The measured norms by column, each (steps, layers); masked at steps where the column was not measured."""
        place = {step: i for i, step in enumerate(steps)}
        shape = len(steps), len(self.gradient_norms.layers)
        columns = {name: np.ma.array(np.zeros(shape), mask=True) for name in ("norm", "clipped", "weight", "update")}
        for row, measured in zip(self._rows, numbers, strict=True):
            columns[row.column][place[row.step]] = measured
        columns["update"] = columns["update"] / columns["weight"]  # masked where all weights are 0
        return columns

    @staticmethod
    def _records(step: int, every_n_steps: int) -> bool:
        return every_n_steps > 0 and step % every_n_steps == 0


def series(measured: GradientNorms, which: str) -> list[int]:
    """The layers that trackers get a series of: `all`, or a `few`, which are the first, the middle and the last of each
    stage that multiply by a matrix or convolve with a kernel."""
    every = range(len(measured.layers))
    if which == "all":
        return list(every)
    of = [i for i in every if measured.described[i].kind == MATRIX] or list(every)
    few = _outer_and_middle({i: measured.described[i].stage for i in of})
    return few if len(few) <= READABLE else _outer_and_middle({i: str(4 * n // len(of)) for n, i in enumerate(of)})


def _outer_and_middle(stage_of: Mapping[int, str]) -> list[int]:
    """Of the layers of each stage the first, the middle and the last."""
    stages: dict[str, list[int]] = {}
    for i, stage in stage_of.items():
        stages.setdefault(stage, []).append(i)
    return sorted({i for stage in stages.values() for i in (stage[0], stage[len(stage) // 2], stage[-1])})


def _batch_loss(outputs: Mapping[str, Any], divided_by: int) -> Tensor | None:
    """A batch's loss from the outputs of its training_step; None if there is none."""
    if "batch_loss" in outputs:
        loss = outputs["batch_loss"]
    elif outputs.get("loss") is None:
        return None
    else:
        loss = outputs["loss"] * divided_by
    return loss.detach().reshape(())


def _remaining_scale(trainer: pl.Trainer, optimizer: Optimizer) -> Tensor | None:
    """The loss scale by which the gradients are still multiplied: a fused optimizer divides by it in its own step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
        return None
    return scaler._get_scale_async()
