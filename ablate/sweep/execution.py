"""A sweep without a server: what its plan leaves to do, run by an engine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ablate.configuration import agent
from ablate.configuration.overrides import override
from ablate.errors import InputError
from ablate.process import processors
from ablate.runs.origin import Here
from ablate.runs.record import RESULTS
from ablate.sweep.engines import launchers
from ablate.sweep.engines.pool import Pool, View
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import DAMAGED, FAILED, INTERRUPTED, INVALID, OUTDATED, RUNNING, TO_DO, PlannedCell, plan
from ablate.training.settings import pinned

POOL = "ablate.sweep.engines.pool.Pool"
IN_PROCESS = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass(frozen=True)
class Request:
    """What was typed: overrides of every cell, and those of Hydra's own, which choose and set the engine."""

    typed: list[str]
    engine: list[str]

    @classmethod
    def of(cls, overrides: Sequence[str]) -> "Request":
        engine = [text for text in overrides if text.lstrip("+~").startswith(("hydra/launcher", "hydra.launcher"))]
        typed = [text for text in overrides if text not in engine]
        if not any(text.startswith("hydra/launcher=") for text in engine):
            engine = ["hydra/launcher=pool", *engine]
        return cls(typed, engine)

    @cached_property
    def launcher(self) -> DictConfig:
        """Hydra's configuration of the engine. Raises InputError for one that is not installed."""
        folders = [text for text in self.typed if text.startswith("hydra.searchpath=")]
        return launchers.composed_with([*folders, *self.engine]).hydra.launcher

    @property
    def in_pool(self) -> bool:
        return self.launcher._target_ == POOL

    @property
    def elsewhere(self) -> bool:
        """Whether the cells may run on other machines."""
        return self.launcher._target_ not in (POOL, IN_PROCESS)


def planned(
    file: SweepFile, request: Request, check_data: bool, here: Here | None = None, costs: bool = True
) -> list[PlannedCell]:
    return plan(file, request.typed, check_data=check_data, elsewhere=request.elsewhere, here=here, costs=costs)


def to_run(cells: Sequence[PlannedCell], retry_failed: bool, rerun_outdated: bool = False) -> list[PlannedCell]:
    """What there is to do: cells without a result, those that others are at included; or only the failed, or only the
    outdated ones, which then say so in their overrides."""
    only = [FAILED] * retry_failed + [OUTDATED] * rerun_outdated
    wanted = only or (TO_DO, INTERRUPTED, DAMAGED, RUNNING)
    for cell in cells:
        if cell.status == OUTDATED and rerun_outdated:
            cell.overrides = [*(text for text in cell.overrides if not text.startswith("rerun=")), "rerun=true"]
    again = [cell for cell in cells if cell.status in RESULTS and cell.values and cell.values["rerun"]]
    return again + [cell for cell in cells if cell.status in wanted]


def sweep(cells: Sequence[PlannedCell], request: Request, view: View) -> None:
    """Run the cells and look again at what came of each.

    Raises Stopped, all state saved, when a signal stops it, and InputError, before the first cell, where W&B is to hear
    of the runs and nobody is logged in.
    """
    if not cells:
        return
    if not request.elsewhere:
        _check_login(cells)
    try:
        if request.in_pool:
            _in_pool(cells, request.launcher, view)
        else:
            launchers.launch([_pinned(cell) if request.elsewhere else cell.overrides for cell in cells], request.engine)
    finally:
        for cell in cells:
            # What the pool has heard a directory may not tell.
            if not request.in_pool or cell.status not in (FAILED, INVALID):
                cell.look()


def _check_login(cells: Sequence[PlannedCell]) -> None:
    """Once for all cells: W&B's refusal would be theirs, one after the other."""
    may_be = [c for c in cells if c.values and "online" in (c.values["tracking"]["mode"], agent.wandb_mode())]
    if not may_be:
        return
    from ablate.training import tracking  # W&B takes a second to import

    def is_online(cell: PlannedCell) -> bool:
        chosen = any(text.startswith(("tracking=", "tracking.mode=")) for text in cell.overrides)
        return tracking.mode(OmegaConf.create(cell.values)["tracking"], chosen) == "online"

    if any(is_online(cell) for cell in may_be):
        tracking.check_login()


def _in_pool(cells: Sequence[PlannedCell], launcher: DictConfig, view: View) -> None:
    threads = max((cell.values or {}).get("threads") or 0 for cell in cells) or None
    gpus, workers = _shares(cells, threads, launcher.workers)
    logs = cells[0].directory.parent / ".workers"
    Pool(workers, threads, gpus, logs).run(cells, view)


def _shares(cells: Sequence[PlannedCell], threads: int | None, wanted: Any) -> tuple[list[str], int]:
    """The GPUs of each worker, as CUDA_VISIBLE_DEVICES has them, and how many workers there are."""
    trainers = [cell.values["trainer"] for cell in cells if cell.values]
    on_gpu = [trainer for trainer in trainers if trainer["accelerator"] == "gpu"]
    devices = max(trainer["devices"] for trainer in on_gpu or trainers)
    gpus: list[str] = []
    if on_gpu:
        import torch

        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        every = visible if visible != [""] else [str(number) for number in range(torch.cuda.device_count())]
        gpus = [",".join(every[at : at + devices]) for at in range(0, len(every) - devices + 1, devices)]
        room = len(gpus)
    else:
        room = max(1, processors.usable() // ((threads or 1) * devices))
    if wanted != "auto" and (not isinstance(wanted, int) or wanted < 1):
        raise InputError(f"hydra.launcher.workers={wanted}: give a number of processes, at least 1, or auto.")
    workers = room if wanted == "auto" else wanted
    return [gpus[number % len(gpus)] for number in range(workers)] if gpus else [], workers


def _pinned(cell: PlannedCell) -> list[str]:
    """The overrides, with what `auto` stands for here, so that the job has the fingerprint of the plan."""
    values = pinned(cell.values or {})
    kept = [text for text in cell.overrides if text.split("=", 1)[0] not in values]
    return kept + [override(path, value) for path, value in values.items()]
