"""One cell of a study: a composed configuration, checked, and run at most once."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback

from ablate.design.cost import Cost
from ablate.errors import InputError
from ablate.study import record
from ablate.study.checks import Checks
from ablate.study.composition import Composition
from ablate.study.failure import described
from ablate.study.fingerprint import fingerprint
from ablate.study.lease import Claim, TakenError, claimed, holder
from ablate.study.place import results_in
from ablate.study.provenance import provenance
from ablate.training import agent, build, tracking
from ablate.training.checkpoints import checkpoints
from ablate.training.data import Images
from ablate.training.history import RunHistory
from ablate.training.interrupt import Interrupted, OutOfTimeError, StopRequest, stop_request
from ablate.training.progress import progress
from ablate.training.run import Watch, train
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

    The fingerprint does not say where files lie. So what would be returned or gone on with must be of the same data, by
    checksum. Only a result of the same data.root, or one whose image folder is not here, is returned unasked.

    stop      asked by signals; without one, the run listens itself
    progress  makes the callback that shows the run's progress, told whether a bar is wanted

    Raises InputError for a record of other data, TakenError where another process trains it, and what the training
    raises, after recording it.
    """
    directory, cfg = cell.directory, cell.cfg
    data = build.images(cfg)
    known = record.read(directory)
    if known and known["status"] in record.RESULTS and not cfg.rerun:
        if known["provenance"].get("data_root") != _absolute(data.root) and (here := data.checksum_if_here()):
            _check_same_data(directory, known, data.root, here)
        return known, False

    data.prepare_data()
    data.setup("fit")  # what is wrong with the data is said before anything is written
    checksum = data.checksum()
    with nullcontext(stop) if stop else stop_request() as stop, claimed(directory, stop.lose) as claim:
        known = record.read(directory)
        if known:
            done = known["status"] in record.RESULTS
            if cfg.rerun and (done or known["provenance"]["data_checksum"] != checksum):
                claim.check()
                _set_aside(directory, known)
                known = None
            elif done or checkpoints(directory / "checkpoints"):
                _check_same_data(directory, known, data.root, checksum)
                if done:
                    return known, False
        return _run_claimed(cell, claim, known, data, checksum, Watch(stop, claim.check, progress)), True


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
    cell: Cell, claim: Claim, known: dict[str, Any] | None, data: Images, checksum: str, watch: Watch
) -> dict[str, Any]:
    cfg, composition, directory = cell.cfg, cell.composition, claim.directory
    (directory / "checkpoints").mkdir(exist_ok=True)
    _write_configs(cell, directory)
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
        "provenance": provenance(checksum) | {"data_root": _absolute(data.root)},
        "wandb": {"id": tracking.run_id(mode, known), "mode": mode, "url": None, "sweep": None},
        "started": known["started"] if known else record.now(),
        "ended": None,
        "resumed": known is not None,
    }
    record.write(directory, run)  # the W&B run's id with it, lest the next try make another
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
            claim.check()
            record.write(directory, run)
            outcome = train(cfg, data, directory, wandb_run, watch)
            run |= {
                "status": "finished" if outcome.diverged_at is None else "diverged",
                "summary": outcome.summary,
                "cost": run["cost"] | {"seconds": round(outcome.seconds, 3)},
                "resumed": outcome.resumed,
                "gradient_norms": outcome.grad_norms,
                "gradient_flow": outcome.flow and outcome.flow.verdict,
            }
            if outcome.diverged_at is not None:
                run["diverged_at"] = outcome.diverged_at
            if wandb_run is not None:
                wandb_run.summary.update(tracking.closing_summary(run))
                if outcome.flow is not None:
                    wandb_run.summary.update({f"gradient_flow/{key}": v for key, v in asdict(outcome.flow).items()})
    except BaseException as error:
        if isinstance(error, Interrupted | KeyboardInterrupt):
            run["status"] = "interrupted"
        elif isinstance(error, OutOfTimeError):
            run |= {"status": "interrupted", "reason": str(error)}
        elif isinstance(error, InputError):  # once that is put right, the same command goes on
            run |= {"status": "interrupted", "error": str(error)}
        else:
            run |= {"status": "failed", "error": described(error)}
        raise
    finally:
        run["ended"] = record.now()
        if not watch.stop.lost:
            claim.check()
            record.write(directory, run)
    RunHistory(directory).discard_parts()  # not earlier: until the record says that the run is over, it may go on
    return run


def _write_configs(cell: Cell, directory: Path) -> None:
    """config.yaml, resolved, and what Hydra was given, as Hydra itself writes it below .hydra."""
    OmegaConf.save(cell.cfg, directory / "config.yaml")
    hydra = directory / ".hydra"
    hydra.mkdir(exist_ok=True)
    OmegaConf.save(cell.composition.cfg, hydra / "config.yaml")
    OmegaConf.save(cell.composition.hydra_cfg, hydra / "hydra.yaml")
    OmegaConf.save(OmegaConf.create(list(cell.composition.overrides)), hydra / "overrides.yaml")


def _absolute(root: str | None) -> str | None:
    return root and str(Path(root).expanduser().absolute())


def _check_same_data(directory: Path, known: dict[str, Any], root: str | None, checksum: str) -> None:
    """Raise InputError where the record is of data other than those at `root`."""
    of = known["provenance"]
    if (of["data_checksum"] or checksum) != checksum:  # a run that died before it began has read none
        raise InputError(
            f"{directory} is of other data: of the checksum {of['data_checksum']} in {of.get('data_root', '?')}, where"
            f" data.root={root} has {checksum}. Use another runs_dir for these, or rerun=true, which sets that run"
            " aside."
        )


def _set_aside(directory: Path, known: dict[str, Any]) -> None:
    """Move a run's files to <runs_dir>/.replaced/<fingerprint>-<start>; the claimed directory stays, empty."""
    stamp = "".join(c for c in known["started"] if c.isdigit())[:14]
    aside = directory.parent / ".replaced" / f"{directory.name}-{stamp}"
    aside.mkdir(parents=True, exist_ok=True)
    # The record last: until then the same command finds the run finished, and goes on moving it.
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name == "run.json"):
        if entry.name != "claims":
            entry.rename(aside / entry.name)


@contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """Everything that is logged during the block goes to run.log as well."""
    handler = logging.FileHandler(directory / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
