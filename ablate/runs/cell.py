"""One cell of a study: a composed configuration, checked, and run at most once."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from ablate.configuration import agent
from ablate.configuration.composition import Composition, plain
from ablate.configuration.failure import described
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.place import results_in
from ablate.design.cost import Cost
from ablate.errors import InputError, is_full
from ablate.process.interrupt import Interrupted, OutOfTimeError, StopRequest, stop_request
from ablate.process.streams import LastingLog
from ablate.runs import intact, record
from ablate.runs.beginning import beginning
from ablate.runs.checks import Checks
from ablate.runs.lease import REPLACED, Claim, TakenError, claimed, holder
from ablate.runs.origin import Here, absolute, difference, is_silent, origin
from ablate.runs.provenance import provenance
from ablate.training import build, tracking
from ablate.training.data import ImageFolder
from ablate.training.images import memory
from ablate.training.images.files import listing
from ablate.training.images.own import Data
from ablate.training.progress import progress
from ablate.training.run import Watch, train
from ablate.training.saving import offline
from ablate.training.saving.checkpoints import checkpoints, step_of
from ablate.training.saving.history import RunHistory
from ablate.training.saving.resume import Start
from ablate.training.saving.staging import Staging
from ablate.training.settings import check_values, resolve_auto, threads_unsaid

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
        return Path(self.cfg.runs_dir).expanduser().absolute() / self.fingerprint

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
    composition.check_types()
    values = composition.values()
    check_values(values)
    silent = agent.present() and threads_unsaid(values, composition.overridden)
    resolve_auto(values, one_thread=silent)
    if silent and values["threads"] is not None:  # as it is on a GPU
        composition = composition.with_value("threads", values["threads"])
    results_in(values["runs_dir"])
    cost = _checks(values, lambda: composition.cfg)
    cell = Cell(OmegaConf.create(values), composition, fingerprint(values), cost)
    _ = cell.tracking_mode  # refused where WANDB_MODE is misspelt
    return cell


# What cells that follow each other in one process share is checked once.
_checks = Checks()


def run(
    cell: Cell, stop: StopRequest | None = None, progress: Callable[[bool], Callback] = progress
) -> tuple[dict[str, Any], bool]:
    """The cell's record, and whether it was trained just now.

    A cell that has a result is not trained again, unless `rerun`: then its directory is set aside under
    <runs_dir>/.replaced. One that was interrupted, or failed, goes on from its newest checkpoint.

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
    if known and known["status"] in record.RESULTS and not cfg.rerun and not intact.damage(directory, known):
        _check_unchanged(directory, known, _changed(known["provenance"], values, data))
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
        done = known is not None and known["status"] in record.RESULTS
        if known and cfg.rerun and done and record.ended(known) != record.ended(seen):
            return known, False  # another process has been asked the same, and was faster
        changed = difference(known["provenance"], here) if known else None
        whole = known is not None and done and not intact.faults(directory, known)
        if known and cfg.rerun and (done or changed):
            intact.set_aside(claim, known, REPLACED)
            known = None
        elif known and (whole or checkpoints(directory / "checkpoints")):
            _check_unchanged(directory, known, changed)
            if whole:
                if intact.damage(directory, known):
                    log.warning("%s: config.yaml is damaged or missing, and written anew.", directory)
                    _write_configs(cell, directory, claim.staging)
                return known, False
        known, begin = beginning(claim, known, here["data_checksum"], cfg.result == "best")
        if begin.checkpoint is not None and (known is None or is_silent(known["provenance"])):
            here = {key: here[key] for key in ("data_checksum", "data_root")}  # with what code it began nobody knows
        watch = Watch(stop, claim.staging, here["data_checksum"], progress)
        return _run_claimed(cell, claim, known, data, here, begin, watch), True


def run_when_free(cell: Cell) -> tuple[dict[str, Any], bool]:
    """As `run`, but where another process trains the cell, wait for it and take its result, or its place."""
    while True:
        try:
            return run(cell)
        except TakenError as taken:
            print(taken, flush=True)
            while holder(cell.directory) is not None:
                time.sleep(ASK_AGAIN)


def _run_claimed(
    cell: Cell,
    claim: Claim,
    known: dict[str, Any] | None,
    data: Data,
    here: dict[str, Any],
    begin: Start,
    watch: Watch,
) -> dict[str, Any]:
    cfg, composition, directory, staging = cell.cfg, cell.composition, claim.directory, claim.staging
    staging.make(directory / "checkpoints")
    _write_configs(cell, directory, staging)
    mode = cell.tracking_mode
    run: dict[str, Any] = {
        "fingerprint": cell.fingerprint,
        "name": composition.name,
        "status": "running",
        "choices": composition.choices,
        "overrides": composition.overrides,
        "search_path": composition.search_path,
        "seed": cfg.seed,
        "summary": {},
        "cost": {name: value for name, value in asdict(cell.cost).items() if name in ("params", "macs")},
        "provenance": provenance(here["data_checksum"]) | here,
        "wandb": {"id": tracking.run_id(mode, known), "mode": mode, "url": None, "sweep": None},
        "started": known["started"] if known else record.now(),
        "ended": None,
        "resumed": known is not None,
    }
    record.write(directory, run, staging)  # the W&B run's id with it, lest the next try make another
    step = missing = step_of(begin.checkpoint) if begin.checkpoint else 0
    if known and run["wandb"]["id"]:
        missing = offline.cut(directory, run["wandb"]["id"], step, staging)
    try:
        with (
            _log_file(directory),
            tracking.wandb_run(
                cfg, directory=directory, mode=mode, run_id=run["wandb"]["id"], name=composition.name
            ) as wandb_run,
        ):
            if wandb_run is not None:
                url = wandb_run.url if mode == "online" else None
                run["wandb"] |= {"id": wandb_run.id, "url": url, "sweep": wandb_run.sweep_id}
                offline.replay(wandb_run, begin.metrics(directory), missing, step, cfg.trainer.log_every_n_steps)
            record.write(directory, run, staging)
            outcome = train(cfg, data, directory, wandb_run, begin, watch)
            run |= {
                "status": "finished" if outcome.diverged_at is None else "diverged",
                "summary": outcome.summary,
                "cost": run["cost"] | {"seconds": round(outcome.seconds, 3)},
                "resumed": outcome.resumed,
                "gradient_norms": outcome.grad_norms,
                "gradient_flow": outcome.flow and outcome.flow.verdict,
                "files": intact.described(directory),
            }
            if outcome.diverged_at is not None:
                run["diverged_at"] = outcome.diverged_at
            if wandb_run is not None:
                wandb_run.summary.update(tracking.closing_summary(run))
                if outcome.flow is not None:
                    wandb_run.summary.update({f"gradient_flow/{key}": v for key, v in asdict(outcome.flow).items()})
    except BaseException as error:
        if isinstance(error, Interrupted | KeyboardInterrupt) or is_full(error):
            run["status"] = "interrupted"
        elif isinstance(error, OutOfTimeError | InputError):  # once the latter is put right, the same command goes on
            run |= {"status": "interrupted", "reason": str(error)}
        else:
            run |= {"status": "failed", "error": described(error)}
        run["ended"] = record.now()
        try:
            record.write(directory, run, staging)
        except OSError as unwritten:  # a full disk: the run may be taken up where its last checkpoint is
            log.warning("%s: the record could not be written: %s", directory, unwritten)
        raise
    run["ended"] = record.now()
    record.write(directory, run, staging)
    # Not earlier: until the record says that the run is over, it may go on.
    RunHistory(directory, staging).discard_parts()
    return run


def _write_configs(cell: Cell, directory: Path, staging: Staging) -> None:
    """config.yaml, resolved, and what Hydra was given, as Hydra itself writes it below .hydra."""
    hydra = directory / ".hydra"
    staging.make(hydra)
    for path, values in {
        directory / "config.yaml": cell.cfg,
        hydra / "config.yaml": cell.composition.cfg,
        hydra / "hydra.yaml": cell.composition.hydra_cfg,
        hydra / "overrides.yaml": OmegaConf.create(list(cell.composition.overrides)),
    }.items():
        staging.replace(path, partial(OmegaConf.save, values))


def _changed(then: dict[str, Any], values: dict[str, Any], data: Data) -> str | None:
    """What has changed since a finished run with the provenance `then`, in words."""
    if not is_silent(then):
        return Here().difference(then, values, data.root)
    if isinstance(data, ImageFolder) and data.root and listing(data.root, ["train"]):
        data.setup()  # cheap, and the checksum is on record in older versions too
        return difference(then, {"data_checksum": data.checksum(), "data_root": absolute(data.root)})
    return None


def _check_unchanged(directory: Path, known: dict[str, Any], changed: str | None) -> None:
    """Raise InputError where code or data have changed since the run on record."""
    if changed:
        done = known["status"] in record.RESULTS
        instead = "trains again" if done else "starts from the beginning"
        raise InputError(
            f"{directory} is outdated: since its run {'was trained' if done else 'began'}, {changed}. rerun=true"
            f" {instead} and keeps that run in .replaced; another runs_dir keeps both apart."
        )


@contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """Everything that is logged during the block goes to run.log as well."""
    handler = LastingLog(directory / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
