"""One cell of a study: a composed configuration, checked, and run at most once."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from ablate.configuration import agent, place, refusals
from ablate.configuration.composition import Composition, plain
from ablate.configuration.fingerprint import fingerprint
from ablate.design.cost import Cost
from ablate.errors import InputError
from ablate.process.interrupt import StopRequest, stop_request
from ablate.runs import intact, record
from ablate.runs.beginning import beginning
from ablate.runs.checks import Checks
from ablate.runs.lease import REPLACED, TakenError, claimed, holder
from ablate.runs.origin import Here, absolute, difference, is_silent, origin
from ablate.runs.record import RunRecord
from ablate.runs.recording import recorded, write_configs
from ablate.runs.tracked.labels import labels
from ablate.training import build, tracking
from ablate.training.data import ImageFolder
from ablate.training.images import memory
from ablate.training.images.files import listing
from ablate.training.images.own import Data
from ablate.training.progress import progress
from ablate.training.run import Watch
from ablate.training.saving.checkpoints import checkpoints
from ablate.training.settings import check_values, resolve_auto, resolve_in_sweep

log = logging.getLogger(__name__)

ASK_AGAIN = 2.0  # seconds from one look at a cell that another process trains to the next


@dataclass(frozen=True)
class Cell:
    """A configuration ready to be trained: `auto` resolved, values checked, the network known to fit together.

    cfg          resolved
    composition  how the user asked for it
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

    @property
    def values(self) -> dict[str, Any]:
        """The configuration as plain values."""
        return plain(self.cfg, resolve=True)

    @property
    def tracking_mode(self) -> str:
        """offline, online or disabled."""
        chosen = not {"tracking", "tracking.mode"}.isdisjoint(self.composition.overridden)
        return tracking.mode(self.cfg.tracking, chosen)


def prepare(composition: Composition) -> Cell:
    """Check what the user composed. Raises InputError, before anything is written, for what cannot be trained."""
    values = composition.checked()
    check_values(values)
    if not agent.present():
        resolve_auto(values)
    elif (threads := resolve_in_sweep(values, composition.overridden)) is not None:
        composition = composition.with_value("threads", threads)
    place.results_in(values["runs_dir"])
    cost = _checks(values, lambda: composition.cfg)
    cell = Cell(OmegaConf.create(values), composition, fingerprint(values), cost)
    _ = cell.tracking_mode  # refused where WANDB_MODE is misspelt
    return cell


# What cells that follow each other in one process share is checked once.
_checks = Checks()


def run(
    cell: Cell, stop: StopRequest | None = None, progress: Callable[[bool], Callback] = progress
) -> tuple[RunRecord, bool]:
    """The cell's record, and whether it was trained just now.

    A cell that has a result is not trained again, unless `rerun`: then its directory is set aside under
    <runs_dir>/.replaced. One that was interrupted, or failed, resumes from its newest checkpoint.

    The fingerprint says nothing of the user's own code and of the data. So what would be returned or resumed must be of
    those that are here. A result whose data are not here is returned.

    stop      asked by signals; without one, the run listens itself
    progress  makes the callback that shows the run's progress, told whether a bar is wanted

    Raises InputError for a record of other code or data, or without the login that tracking=online needs; TakenError
    where another process trains it; and what the training raises, after recording it.
    """
    directory, cfg = cell.directory, cell.cfg
    data = build.images(cfg)
    known = record.read(directory)
    values = cell.values
    if known and known.is_result and not cfg.rerun and not intact.damage(directory, known):
        _check_unchanged(directory, known, _changed(known.provenance, values, data))
        if intact.leftovers(directory, known) or intact.misplaced(directory):
            with suppress(InputError, OSError), claimed(directory, lambda: None) as claim:
                intact.sweep_up(claim, known)
        return known, False

    if cfg.rerun:
        memory.forget()
    data.prepare_data()
    data.setup("fit")  # what is wrong with the data is said before anything is written
    build.check_validations(cfg, data)
    here = origin(values, data)
    if cell.tracking_mode == "online":
        tracking.check_login()
    with nullcontext(stop) if stop else stop_request() as stop, claimed(directory, stop.lose) as claim:
        seen, known = known, record.read(directory)
        intact.sweep_up(claim, known)
        done = known is not None and known.is_result
        if known and cfg.rerun and done and record.training(known) != record.training(seen):
            return known, False  # another process has been asked the same, and was faster
        changed = difference(known.provenance, here) if known else None
        whole = known is not None and done and not intact.faults(directory, known)
        if known and cfg.rerun and (done or changed):
            intact.set_aside(claim, known, REPLACED)
            known = None
        elif known and (whole or checkpoints(directory / "checkpoints")):
            _check_unchanged(directory, known, changed)
            if whole:
                if intact.damage(directory, known):
                    log.warning("%s: config.yaml is damaged or missing, and written anew.", directory)
                    write_configs(cell, directory, claim.staging)
                return known, False
        known, begin = beginning(claim, known, here["data_checksum"], cfg.result == "best")
        if begin.checkpoint is not None and (known is None or is_silent(known.provenance)):
            here = {key: here[key] for key in ("data_checksum", "data_root")}  # with what code it began nobody knows
        name = labels(cell).name or cell.composition.name
        watch = Watch(stop, claim.staging, here["data_checksum"], progress, name)
        return recorded(cell, claim, known, data, here, begin, watch), True


def run_when_free(cell: Cell) -> tuple[RunRecord, bool]:
    """As `run`, but where another process trains the cell, wait for it and take its result, or its place."""
    while True:
        try:
            return run(cell)
        except TakenError as taken:
            print(taken, flush=True)
            while holder(cell.directory) is not None:
                time.sleep(ASK_AGAIN)


def run_overrides(overrides: list[str]) -> int:
    """Train the cell that these ask for, unless it has a result, as a job of any engine does. Returns the exit code."""
    refusals.register_resolvers()
    return refusals.guarded(lambda: run(prepare(Composition.of(overrides))))


def _changed(then: dict[str, Any], values: dict[str, Any], data: Data) -> str | None:
    """What has changed since a finished run with the provenance `then`, in words."""
    if not is_silent(then):
        return Here().difference(then, values, data.root)
    if isinstance(data, ImageFolder) and data.root and listing(data.root, ["train"]):
        data.setup()  # cheap, and the checksum is on record in older versions too
        return difference(then, {"data_checksum": data.checksum(), "data_root": absolute(data.root)})
    return None


def _check_unchanged(directory: Path, known: RunRecord, changed: str | None) -> None:
    """Raise InputError where code or data have changed since the run on record."""
    if changed:
        done = known.is_result
        instead = "trains again" if done else "starts from the beginning"
        raise InputError(
            f"{directory} is outdated: since its run {'was trained' if done else 'began'}, {changed}. rerun=true"
            f" {instead} and keeps that run in .replaced; another runs_dir keeps both apart."
        )
