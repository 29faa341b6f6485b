"""A cell: a checked configuration, ready to be trained. A cell that has a result is not trained again."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from ablate.configuration import agent, place
from ablate.configuration.composition import Composition, plain
from ablate.configuration.fingerprint import ADDED, fingerprint
from ablate.configuration.refusals.guard import guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.design.cost import Cost
from ablate.errors import InputError
from ablate.process.garbage import write_open_files
from ablate.process.interrupt import StopRequest, stop_request
from ablate.runs import intact, record
from ablate.runs.beginning import beginning
from ablate.runs.checks import Checks
from ablate.runs.lease import ASK_AGAIN, REPLACED, Claim, TakenError, claimed, holder
from ablate.runs.origin import Here, absolute, difference, is_silent, origin
from ablate.runs.record import RunRecord
from ablate.runs.recording import recorded, write_configs
from ablate.runs.tracked.labels import labels
from ablate.training import build, tracking
from ablate.training.data import ImageFolder
from ablate.training.epoch import resumed_at
from ablate.training.images import memory
from ablate.training.images.files import listing
from ablate.training.images.own import Data
from ablate.training.progress import progress
from ablate.training.run import Watch
from ablate.training.saving.checkpoints import checkpoints, step_of
from ablate.training.settings import check_values, resolve_auto, resolve_in_sweep

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """A configuration ready to be trained: `auto` is resolved, the values are checked, the network can be built.

    cfg          the resolved configuration
    composition  what the user typed
    fingerprint  names the result and its directory
    cost         of the network
    """

    cfg: DictConfig
    composition: Composition
    fingerprint: str
    cost: Cost

    @property
    def directory(self) -> Path:
        return place.of_run(self.cfg.runs_dir, self.fingerprint)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The configuration as plain values. Do not change them."""
        return plain(self.cfg, resolve=True)

    @property
    def tracking_mode(self) -> str:
        """offline, online or disabled."""
        chosen = not {"tracking", "tracking.mode"}.isdisjoint(self.composition.overridden)
        return tracking.mode(self.cfg.tracking, chosen)


def prepare(composition: Composition) -> Cell:
    """Check a composition and make a cell of it. Raises InputError, before anything is written, if it cannot be
    trained."""
    values = composition.checked()
    check_values(values)
    if not agent.present():
        resolve_auto(values)
    elif (threads := resolve_in_sweep(values, composition.overridden)) is not None:
        composition = composition.with_value("threads", threads)
    place.results_in(values["runs_dir"])
    cost = _checks(values, lambda: composition.cfg)
    cell = Cell(OmegaConf.create(values), composition, fingerprint(values), cost)
    _ = cell.tracking_mode  # raises if WANDB_MODE is misspelt
    return cell


# Shared by all cells of this process, so that what they have in common is checked once.
_checks = Checks()


def run(
    cell: Cell,
    stop: StopRequest | None = None,
    progress: Callable[[bool], Callback] = progress,
    begins: Callable[[Path, str | None], None] = lambda directory, resumed: None,
) -> tuple[RunRecord, bool]:
    """Train the cell unless it has a result. Returns its record, and whether it was trained just now.

    With `rerun`, a cell with a result is trained again, and the old files are moved to <runs_dir>/.replaced. A cell
    that was interrupted, or failed, resumes from its newest checkpoint.

    Your own code and the data are not part of the fingerprint. So before a result is returned or a run is resumed,
    both are compared with those on record. A result whose data are not on this machine is returned.

    stop      records a signal that asks to stop; without one, the run listens for signals itself
    progress  (whether a bar is wanted) -> callback that shows the run's progress
    begins    called, before a training starts, with the directory and where it resumes in words; None if it starts anew

    Raises InputError if code or data differ from those on record, or if tracking=online has no login; TakenError if
    another process trains the cell; and whatever the training raises, after recording it.
    """
    directory, cfg = cell.directory, cell.cfg
    data = build.images(cfg)
    seen = record.read(directory)
    if seen and seen.is_result and not cfg.rerun and not intact.damage(directory, seen):
        _check_unchanged(directory, seen, _changed(seen.provenance, cell.values, data))
        if intact.leftovers(directory, seen) or intact.misplaced(directory):
            with suppress(InputError, OSError), claimed(directory, lambda: None) as claim:
                intact.sweep_up(claim, seen)
        return seen, False

    here = _origin(cell, data)
    with nullcontext(stop) if stop else stop_request() as stop, claimed(directory, stop.lose) as claim:
        known = record.read(directory)
        intact.sweep_up(claim, known)
        if known and cfg.rerun and known.is_result and record.training(known) != record.training(seen):
            return known, False  # another process was asked for the same rerun and has finished it
        changed = difference(known.provenance, here) if known else None
        if known and cfg.rerun and (known.is_result or changed):
            intact.set_aside(claim, known, REPLACED)
            known = None
        elif known and _is_whole(cell, claim, known, changed):
            return known, False
        known, begin = beginning(claim, known, here["data_checksum"], cfg.result == "best")
        if begin.checkpoint is not None and (known is None or is_silent(known.provenance)):
            here = {key: here[key] for key in ("data_checksum", "data_root")}  # the code it began with is unknown
        name = labels(cell).name or cell.composition.name
        watch = Watch(stop, claim.staging, here["data_checksum"], progress, name)
        last = begin.checkpoint
        begins(directory, resumed_at(step_of(last), cfg.trainer, data.batches) if last else None)
        try:
            return recorded(cell, claim, known, data, here, begin, watch), True
        finally:
            write_open_files()  # of the user's callbacks


def run_when_free(
    cell: Cell, begins: Callable[[Path, str | None], None] = lambda directory, resumed: None
) -> tuple[RunRecord, bool]:
    """Like `run`, but if another process trains the cell, wait for it; return its result, or train if it has none."""
    while True:
        try:
            return run(cell, begins=begins)
        except TakenError as taken:
            print(taken, flush=True)
            while holder(cell.directory) is not None:
                time.sleep(ASK_AGAIN)


def run_overrides(overrides: list[str]) -> int:
    """Train the cell of these overrides unless it has a result. This is the job of every engine. Returns the exit
    code."""
    register_resolvers()
    return guarded(lambda: run(prepare(Composition.of(overrides))))


def _origin(cell: Cell, data: Data) -> dict[str, Any]:
    """The origin of a run that begins now (`origin`). Sets the data up.

    Raises InputError, before anything is written, for data that cannot be used, and where tracking=online has no login.
    """
    if cell.cfg.rerun:
        memory.forget()
    data.prepare_data()
    data.setup("fit")
    values = cell.values
    is_classifier = values["module"] == ADDED["module"]  # another module may use outputs of any shape
    build.check_validations(cell.cfg, data, cell.cost.shape[0] if is_classifier else None)
    here = origin(values, data)
    if cell.tracking_mode == "online":
        tracking.check_login()
    return here


def _is_whole(cell: Cell, claim: Claim, known: RunRecord, changed: str | None) -> bool:
    """Whether the run on record is a result that lacks nothing; a damaged config.yaml is written again.

    Raises InputError if the run would be returned or resumed, and code or data have `changed`.
    """
    directory = cell.directory
    whole = known.is_result and not intact.faults(directory, known)
    if whole or checkpoints(directory / "checkpoints"):
        _check_unchanged(directory, known, changed)
    if whole and intact.damage(directory, known):
        log.warning("%s: config.yaml was damaged or missing and is written again.", directory)
        write_configs(cell, directory, claim.staging)
    return whole


def _changed(then: dict[str, Any], values: dict[str, Any], data: Data) -> str | None:
    """What has changed since a finished run with the provenance `then`, in words; None if nothing has."""
    if not is_silent(then):
        return Here().difference(then, values, data.root)
    if isinstance(data, ImageFolder) and data.root and listing(data.root, ["train"]):
        data.setup()  # cheap, and earlier versions recorded the checksum too
        return difference(then, {"data_checksum": data.checksum(), "data_root": absolute(data.root)})
    return None


def _check_unchanged(directory: Path, known: RunRecord, changed: str | None) -> None:
    """Raise InputError if code or data have changed since the run on record. `changed` says what has."""
    if changed:
        done = known.is_result
        instead = "trains again" if done else "starts from the beginning"
        raise InputError(
            f"{directory} is outdated: since its run {'was trained' if done else 'began'}, {changed}. rerun=true"
            f" {instead} and keeps that run in .replaced; to keep both, set another runs_dir."
        )
