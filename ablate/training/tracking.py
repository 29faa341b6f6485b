"""Weights & Biases, one W&B run per run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import wandb
from omegaconf import DictConfig, OmegaConf

# W&B's name for a job that was killed is a non-zero exit; these are ours.
EXIT_FINISHED, EXIT_FAILED = 0, 1


def mode(tracking: DictConfig, chosen: bool) -> str:
    """offline, online or disabled: the override if the user gave one (`chosen`), else WANDB_MODE, else online under
    a W&B agent, else what the configuration says.
    """
    if chosen:
        return tracking.mode
    by_default = "online" if os.environ.get("WANDB_SWEEP_ID") else tracking.mode
    return os.environ.get("WANDB_MODE") or by_default


@contextmanager
def wandb_run(cfg: DictConfig, *, directory: Path, mode: Any, run_id: str | None, name: str) -> Iterator[Any]:
    """An open W&B run that is always finished, with exit code 0 unless the block raises; None where disabled.

    The resolved configuration is logged once, nested. Step series have `trainer/global_step` as their axis,
    epoch series `epoch`. `run_id` continues a run of that id.
    """
    if mode == "disabled":
        yield None
        return
    tracking = cfg.tracking
    run = wandb.init(
        mode=mode,
        dir=directory,
        id=run_id,
        resume="allow",
        name=tracking.name or name,
        project=tracking.project,
        entity=tracking.entity,
        group=tracking.group,
        tags=list(tracking.tags),
        job_type=tracking.job_type,
        config=cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)),
        # The closing table says where the run lies and how to upload it; W&B's own summary would list every layer.
        settings=wandb.Settings(silent=mode == "offline", quiet=True, console="off"),
        reinit="finish_previous",
    )
    for axis, names in {
        "trainer/global_step": ("train/loss_step", "lr", "grad_norm/*", "gradient_flow/*"),
        "epoch": ("train/loss", "train/acc", "train/acc_top5", "val/*", "test/*"),
    }.items():
        run.define_metric(axis, hidden=True)
        for pattern in names:
            run.define_metric(pattern, step_metric=axis)
    exit_code = EXIT_FAILED
    try:
        yield run
        exit_code = EXIT_FINISHED
    finally:
        run.finish(exit_code=exit_code)
