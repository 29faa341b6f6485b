"""Trains a run and keeps its record up to date, from its start to its end, however it ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from ablate.configuration import place
from ablate.configuration.composition import Composition
from ablate.errors import InputError, described, is_full
from ablate.process.interrupt import Interrupted, OutOfTimeError
from ablate.process.streams import LastingLog
from ablate.runs import intact, record
from ablate.runs.lease import Claim, claimed
from ablate.runs.provenance import provenance
from ablate.runs.record import RunRecord, WandbRun
from ablate.runs.tracked.labels import labels
from ablate.training import tracking
from ablate.training.images.own import Data
from ablate.training.objective import named
from ablate.training.run import Outcome, Watch, train
from ablate.training.saving import offline
from ablate.training.saving.checkpoints import step_of
from ablate.training.saving.history import RunHistory
from ablate.training.saving.resume import Start
from ablate.training.saving.staging import Staging

if TYPE_CHECKING:
    from ablate.runs.cell import Cell

log = logging.getLogger(__name__)


def recorded(
    cell: "Cell",
    claim: Claim,
    known: RunRecord | None,
    data: Data,
    here: dict[str, Any],
    begin: Start,
    watch: Watch,
) -> RunRecord:
    """Train the cell from `begin`. Returns its record, which is also written to its directory.

    known  the record of the run that is resumed, or None
    here   the provenance of code and data

    Raises what the training raises, after recording it.
    """
    directory, staging = claim.directory, claim.staging
    staging.make(directory / "checkpoints")
    write_configs(cell, directory, staging)
    mode = cell.tracking_mode
    run = replace(
        RunRecord.begun(cell.composition, cell.fingerprint, cell.cfg.seed, cell.cost.params, cell.cost.macs),
        provenance=provenance(here["data_checksum"], str(cell.cfg.model.get("_target_") or "")) | here,
        goals=named.goals(cell.cfg) or None,
        wandb=WandbRun(tracking.run_id(mode, known.wandb.id if known else None), mode),
        resumed=known is not None,
    )
    if known:
        run = replace(run, started=known.started)
    record.write(directory, run, staging)  # with the W&B run's id, so that the next attempt uses the same W&B run
    try:
        with (
            _log_file(directory),
            _wandb_run(cell, run, begin, staging) as wandb_run,
        ):
            if wandb_run is not None:
                url = wandb_run.url if mode == "online" else None
                seen = WandbRun(wandb_run.id, mode, url, wandb_run.sweep_id, wandb_run.name, wandb_run.group)
                run = replace(run, wandb=seen)
            record.write(directory, run, staging)
            outcome = train(cell.cfg, data, directory, wandb_run, begin, watch)
            run = _with_outcome(run, outcome, directory)
            if wandb_run is not None:
                wandb_run.summary.update(tracking.closing_summary(run.status, run.fingerprint, run.cost))
                if outcome.flow is not None:
                    wandb_run.summary.update({f"gradient_flow/{key}": v for key, v in asdict(outcome.flow).items()})
    except BaseException as error:
        try:
            record.write(directory, _with_error(run, error), staging)
        except OSError as unwritten:  # a full disk: the run can still be resumed from its last checkpoint
            log.warning("%s: the record could not be written: %s", directory, unwritten)
        raise
    run = replace(run, ended=record.now())
    record.write(directory, run, staging)
    # Not earlier: until the record says that the run is over, it may be resumed.
    RunHistory(directory, staging).discard_parts()
    return run


def record_death(asked: Composition, values: dict[str, Any], fingerprint: str, cost: dict[str, Any], why: str) -> None:
    """Record that the run has failed, if its own process died before it could.

    asked  what the user typed
    cost   params and macs
    why    the error to record

    Raises TakenError if another process is training the run.
    """
    directory = place.of_run(values["runs_dir"], fingerprint)
    with claimed(directory, lambda: None) as claim:
        if not (path := directory / "config.yaml").exists():
            claim.staging.replace(path, partial(OmegaConf.save, OmegaConf.create(values)))
        begun = RunRecord.begun(asked, fingerprint, values["seed"], **cost)
        known = record.read(directory) or replace(begun, provenance=provenance(None))
        record.write(directory, replace(known, status="failed", error=why, ended=record.now()), claim.staging)


def write_configs(cell: "Cell", directory: Path, staging: Staging) -> None:
    """Write config.yaml, which is resolved, and the files that Hydra itself would write below .hydra."""
    hydra = directory / ".hydra"
    staging.make(hydra)
    for path, values in {
        directory / "config.yaml": cell.cfg,
        hydra / "config.yaml": cell.composition.cfg,
        hydra / "hydra.yaml": cell.composition.hydra_cfg,
        hydra / "overrides.yaml": OmegaConf.create(list(cell.composition.overrides)),
    }.items():
        staging.replace(path, partial(OmegaConf.save, values))


@contextmanager
def _wandb_run(cell: "Cell", run: RunRecord, begin: Start, staging: Staging) -> Iterator[Any]:
    """The W&B run, with everything that was logged before `begin`; None if tracking is disabled."""
    directory = cell.directory
    step = missing = step_of(begin.checkpoint) if begin.checkpoint else 0
    if run.resumed and run.wandb.id:
        missing = offline.cut(directory, run.wandb.id, step, staging)
    own = vars(labels(cell, run.provenance))
    with tracking.wandb_run(
        cell.cfg.tracking, directory=directory, mode=run.wandb.mode, run_id=run.wandb.id, **own
    ) as wandb_run:
        if wandb_run is not None:
            every = cell.cfg.trainer.log_every_n_steps
            offline.replay(wandb_run, begin.metrics(directory), missing, step, every)
        yield wandb_run


def _with_outcome(run: RunRecord, outcome: Outcome, directory: Path) -> RunRecord:
    return replace(
        run,
        status=outcome.status,
        summary=outcome.summary,
        cost=run.cost | {"seconds": round(outcome.seconds, 3)},
        resumed=outcome.resumed,
        gradient_norms=outcome.grad_norms,
        gradient_flow=outcome.flow.verdict if outcome.flow else None,
        files=intact.described(directory),
        diverged_at=outcome.diverged_at,
        stopped=asdict(outcome.stopped) if outcome.stopped else None,
    )


def _with_error(run: RunRecord, error: BaseException) -> RunRecord:
    """The record of a run that ended with `error`. A sweep resumes an interrupted run by itself, but a failed one only
    with --retry-failed."""
    if isinstance(error, Interrupted | KeyboardInterrupt) or is_full(error):
        ended = replace(run, status="interrupted")
    elif isinstance(error, OutOfTimeError | InputError):  # once you correct the input, the same command resumes
        ended = replace(run, status="interrupted", reason=str(error))
    else:
        ended = replace(run, status="failed", error=described(error))
    return replace(ended, ended=record.now())


@contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """While the block runs, everything that is logged is also written to run.log."""
    handler = LastingLog(directory / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
