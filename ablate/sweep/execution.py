"""Runs a sweep without a server: the cells of its plan that have no result yet, by an engine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ablate.configuration import agent
from ablate.configuration.overrides import override
from ablate.configuration.values import at
from ablate.errors import InputError
from ablate.process import processors
from ablate.runs.origin import Here
from ablate.runs.record import RESULTS
from ablate.sweep.engines import launchers, packing, pool
from ablate.sweep.engines.pool import Pool, View
from ablate.sweep.engines.trial import NoTrialError
from ablate.sweep.estimate import longest_first
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import DAMAGED, FAILED, INTERRUPTED, INVALID, OUTDATED, RUNNING, TO_DO, PlannedCell, plan
from ablate.training.settings import pinned

POOL = "ablate.sweep.engines.pool.Pool"
IN_PROCESS = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass(frozen=True)
class Request:
    """The typed overrides: those of every cell (`typed`), and those that choose and configure the engine (`engine`)."""

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
        """Hydra's configuration of the engine (`hydra.launcher`). Raises InputError if it is not installed."""
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
    """The plan of the file with the overrides of `request`: see `plan`."""
    return plan(file, request.typed, check_data=check_data, elsewhere=request.elsewhere, here=here, costs=costs)


def to_run(cells: Sequence[PlannedCell], retry_failed: bool, rerun_outdated: bool = False) -> list[PlannedCell]:
    """The cells to run: those without a result, also if another process trains them now. With `retry_failed` or
    `rerun_outdated`, only the failed or outdated ones; the latter get `rerun=true`."""
    only = [FAILED] * retry_failed + [OUTDATED] * rerun_outdated
    wanted = only or (TO_DO, INTERRUPTED, DAMAGED, RUNNING)
    for cell in cells:
        if cell.status == OUTDATED and rerun_outdated:
            cell.overrides = [*(text for text in cell.overrides if not text.startswith("rerun=")), "rerun=true"]
    again = [cell for cell in cells if cell.status in RESULTS and cell.values and cell.values["rerun"]]
    return again + [cell for cell in cells if cell.status in wanted]


def sweep(cells: Sequence[PlannedCell], request: Request, view: View) -> None:
    """Run the cells, then update the status of each.

    Raises Stopped if a signal stops it, after all runs have saved their state; InputError, before the first cell, if
    runs are to be logged to W&B's server and you are not logged in.
    """
    if not cells:
        return
    if not request.elsewhere:
        _check_login(cells)
    try:
        if request.in_pool:
            _in_pool(cells, request.launcher, view)
        else:
            launchers.launch([_pinned(cell) if request.elsewhere else cell.told for cell in cells], request.engine)
    finally:
        for cell in cells:
            # A cell's directory need not show why the pool's worker failed: keep what the pool has reported.
            if not request.in_pool or cell.status not in (FAILED, INVALID):
                cell.look()


def _check_login(cells: Sequence[PlannedCell]) -> None:
    """Check the login to W&B once. Otherwise every cell would fail, one after the other."""
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
    if gpus and launcher.workers == "auto":
        gpus = _packed(cells, gpus)
        workers = len(gpus)
    logs = cells[0].directory.parent / ".workers"
    each = threads or max(1, processors.usable() // min(workers, len(cells)))  # not all cores in each
    Pool(workers, each, gpus, logs).run(longest_first(cells), view)


def _shares(cells: Sequence[PlannedCell], threads: int | None, wanted: Any) -> tuple[list[str], int]:
    """The GPUs of each worker, in the form of CUDA_VISIBLE_DEVICES, and the number of workers."""
    on_gpu = [cell for cell in cells if cell.on_gpu]
    devices = max(cell.values["trainer"]["devices"] for cell in on_gpu or cells if cell.values)
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


_trials: dict[tuple[Any, ...], packing.Trial | NoTrialError] = {}


def _size(cell: PlannedCell) -> tuple[int, int]:
    """Multiply-adds of a batch, and its images."""
    images = (cell.values or {})["data"].get("batch_size") or 1
    return (cell.macs or 0) * images, images


def _trial(cell: PlannedCell, gpu: str) -> packing.Trial:
    """The trial of the cell, made once for all that take steps of the same kind. Raises NoTrialError, once made too."""
    values = cell.values or {}
    kind = [at(values, path) for path in ("trainer.precision", "optimizer._target_", "compile", "matmul_precision")]
    key = (*_size(cell), *kind, gpu)
    if key not in _trials:
        try:
            _trials[key] = pool.trial(values, gpu)
        except NoTrialError as error:
            _trials[key] = error
    if isinstance(found := _trials[key], NoTrialError):
        raise found
    return found


def _packed(cells: Sequence[PlannedCell], gpus: list[str]) -> list[str]:
    """The GPUs of each worker where several may share one: the workers of all GPUs, one after another.

    gpus  those of one worker on each

    The largest cell on a GPU is timed; one of the same kind in a later round is not timed again. Cells on several GPUs
    have them alone, and so have few cells.
    """
    if len(cells) <= len(gpus) or any("," in devices for devices in gpus):
        return gpus
    cells = [cell for cell in cells if cell.on_gpu]
    largest = max(cells, key=_size)
    try:
        trial = _trial(largest, gpus[0])
    except NoTrialError as error:
        print(f"1 worker on each GPU: {largest.name} cannot be timed ({error}).", flush=True)
        return gpus
    # A worker needs a core, and one for each process that reads its files.
    needed = 1 + max((cell.values or {})["data"].get("num_workers") or 0 for cell in cells)
    count = packing.workers(trial, max(1, processors.usable() // (needed * len(gpus))))
    compiled = all((cell.values or {})["compile"] is not None for cell in cells)
    for line in packing.said(trial, count, len(gpus), compiled):
        print(line, flush=True)
    return gpus * count


def _pinned(cell: PlannedCell) -> list[str]:
    """The overrides, with `auto` resolved as on this machine, so that the job has the fingerprint of the plan."""
    values = pinned(cell.values or {})
    kept = [text for text in cell.told if text.split("=", 1)[0] not in values]
    return kept + [override(path, value) for path, value in values.items()]
