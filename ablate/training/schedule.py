"""Learning-rate schedules of torch, each with an optional warm-up.

A schedule is `(optimizer, steps, batches_per_epoch) -> list of Lightning's scheduler configs`. `steps` is the total
number of optimizer steps. Every schedule but `reduce_on_plateau` changes the rate at every step.

warmup: {fraction, start, shape}. For this fraction of all steps, before the schedule starts, the rate rises from
start * lr to lr (`linear`), or stays at start * lr (`constant`; ResNet-110's recipe in He et al. 2015, section 4.2).
With `one_cycle`, the warm-up leads to the cycle's first rate, lr / div_factor, instead of lr.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_lr
from torch.optim.lr_scheduler import LRScheduler

from ablate.errors import InputError

Configs = list[dict[str, Any]]


def constant(optimizer: Optimizer, steps: int, batches_per_epoch: int, *, warmup: Mapping[str, Any]) -> Configs:
    """The rate stays at lr."""
    return _after_warmup(optimizer, steps, warmup, lambda _: torch_lr.ConstantLR(optimizer, 1.0, 0))


def multi_step(
    optimizer: Optimizer,
    steps: int,
    batches_per_epoch: int,
    *,
    milestones: Sequence[float],
    gamma: float,
    warmup: Mapping[str, Any],
) -> Configs:
    """The rate times gamma at each milestone, a fraction (0 to 1) of all steps, the warm-up's included."""
    if not all(0 < milestone < 1 for milestone in milestones):
        raise InputError(
            f"schedule.milestones={list(milestones)}: milestones are fractions of the training, such as 0.5."
        )

    def main(remaining: int) -> LRScheduler:
        warm = steps - remaining
        return torch_lr.MultiStepLR(optimizer, [round(m * steps) - warm for m in milestones], gamma)

    return _after_warmup(optimizer, steps, warmup, main)


def cosine(
    optimizer: Optimizer,
    steps: int,
    batches_per_epoch: int,
    *,
    end: float,
    warmup: Mapping[str, Any],
) -> Configs:
    """Half a cosine from lr down to `end`, a rate."""
    return _after_warmup(
        optimizer,
        steps,
        warmup,
        lambda remaining: torch_lr.CosineAnnealingLR(optimizer, remaining, eta_min=end),
    )


def one_cycle(
    optimizer: Optimizer,
    steps: int,
    batches_per_epoch: int,
    *,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    warmup: Mapping[str, Any],
) -> Configs:
    """From lr / div_factor up to lr within `pct_start` of the steps, then down; momentum moves against it."""
    max_lr = [group["lr"] for group in optimizer.param_groups]
    return _after_warmup(
        optimizer,
        steps,
        warmup,
        lambda remaining: torch_lr.OneCycleLR(
            optimizer,
            max_lr,
            total_steps=remaining + 1,  # torch counts the rate before the first step as a step
            pct_start=pct_start,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
        ),
    )


def reduce_on_plateau(
    optimizer: Optimizer,
    steps: int,
    batches_per_epoch: int,
    *,
    factor: float,
    patience: int,
    threshold: float,
    threshold_mode: Literal["rel", "abs"],
    eps: float,
    monitor: str,
    mode: Literal["min", "max"],
    warmup: Mapping[str, Any],
) -> Configs:
    """torch's ReduceLROnPlateau: the rate times `factor` after `patience` + 1 epochs in a row without progress.

    monitor         the validation metric that decides, usually the loss
    mode            min if less of it is better, else max
    threshold       progress means that it is better than the best so far by more than this
    threshold_mode  rel: `threshold` is a share of the best value; abs: it is a difference
    eps             a change of the rate that is smaller than this is left out

    Keras's ReduceLROnPlateau with patience p is this one with patience p - 1, threshold_mode abs and eps 0.
    """
    scheduler = torch_lr.ReduceLROnPlateau(
        optimizer,
        mode=mode,
        factor=factor,
        patience=patience,
        threshold=threshold,
        threshold_mode=threshold_mode,
        eps=eps,
    )
    plateau = {
        "scheduler": scheduler,
        "monitor": monitor,
        # Stepped at the last batch of each epoch. With interval "epoch", Lightning would step it after it has saved
        # the epoch's checkpoint, and a resumed run would miss that step.
        "interval": "step",
        "frequency": batches_per_epoch,
    }
    warm_steps = _warm_steps(steps, warmup)
    if warm_steps == 0:
        return [plateau]
    return [plateau, {"scheduler": _warmup(optimizer, warm_steps, warmup), "interval": "step"}]


def _after_warmup(
    optimizer: Optimizer,
    steps: int,
    warmup: Mapping[str, Any],
    main: Callable[[int], LRScheduler],
) -> Configs:
    """The warm-up, then `main(steps left)`."""
    warm_steps = _warm_steps(steps, warmup)
    if warm_steps == 0:
        return [{"scheduler": main(steps), "interval": "step"}]
    parts = [_warmup(optimizer, warm_steps, warmup), main(steps - warm_steps)]
    return [{"scheduler": torch_lr.SequentialLR(optimizer, parts, [warm_steps]), "interval": "step"}]


def _warm_steps(steps: int, warmup: Mapping[str, Any]) -> int:
    if warmup["shape"] not in ("linear", "constant"):
        raise InputError(f"schedule.warmup.shape={warmup['shape']}: it is `linear` or `constant`.")
    return min(round(warmup["fraction"] * steps), steps - 1)


def _warmup(optimizer: Optimizer, warm_steps: int, warmup: Mapping[str, Any]) -> LRScheduler:
    if warmup["shape"] == "constant":
        return torch_lr.ConstantLR(optimizer, warmup["start"], warm_steps)
    return torch_lr.LinearLR(optimizer, warmup["start"], 1.0, warm_steps)
