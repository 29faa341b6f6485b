"""The plan of a sweep file: every cell, its status, and what it costs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ablate.configuration import place, variant
from ablate.configuration.bulk import Composer
from ablate.configuration.composition import Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.overrides import flattened, override
from ablate.configuration.refusals.wording import explained
from ablate.configuration.values import word
from ablate.errors import InputError, WrongNameError
from ablate.runs import intact, record
from ablate.runs.lease import holder
from ablate.runs.origin import Here
from ablate.runs.record import RunRecord
from ablate.sweep.faults import Faults, together, wrong_names
from ablate.sweep.file import SweepFile
from ablate.training.settings import check_values, resolve_in_sweep

if TYPE_CHECKING:
    from ablate.runs.checks import Checks

TO_DO, RUNNING, INTERRUPTED, FAILED, INVALID = "to do", "running", "interrupted", "failed", "invalid"
OUTDATED = "outdated"  # code or data have changed since its result, or its checkpoints, were made
DAMAGED = "damaged"  # a file of its result is missing or has another size


@dataclass
class PlannedCell:
    """One cell of a sweep.

    assignment   the file's parameters, by dotted name; a variant is replaced by what it sets
    overrides    the overrides with which `python -m ablate` trains this cell
    sweep        the file's name
    values       its resolved configuration
    status       to do, running, interrupted, failed, finished, diverged, stopped, outdated, damaged, or invalid
    reason       why it is invalid, failed, outdated, damaged, or interrupted other than by a signal; or which process
                 trains it
    params macs  the network's parameters and multiply-adds
    record       the record in its directory
    same         the parameters of later cells that are identical to this one
    seconds      training time: measured if the cell has a result, else estimated, else None
    by_steps     whether it is estimated by a few timed steps, not by cells that have finished
    one_thread   whether it has one thread because `threads` is not set

    An invalid cell has None for what is not known.
    """

    assignment: dict[str, Any]
    overrides: list[str]
    sweep: str = ""
    values: dict[str, Any] | None = None
    fingerprint: str | None = None
    params: int | None = None
    macs: int | None = None
    status: str = INVALID
    reason: str | None = None
    record: RunRecord | None = None
    same: list[dict[str, Any]] = field(default_factory=list)
    seconds: float | None = None
    by_steps: bool = False
    one_thread: bool = False

    @property
    def name(self) -> str:
        return named(self.assignment)

    @property
    def on_gpu(self) -> bool:
        return self.values is not None and self.values["trainer"]["accelerator"] == "gpu"

    @property
    def directory(self) -> Path:
        assert self.values is not None and self.fingerprint is not None
        return place.of_run(self.values["runs_dir"], self.fingerprint)

    @property
    def told(self) -> list[str]:
        """The overrides with which it is run: they say which sweep it is of, where its tracking takes that."""
        own = (self.values or {}).get("tracking") or {}
        return [*self.overrides, *([override("tracking.sweep", self.sweep)] if own.get("sweep", "") is None else [])]

    def asked(self) -> DictConfig:
        """The configuration, unresolved."""
        return Composition.of(self.overrides).cfg

    def heard(self, status: str, reason: str | None) -> None:
        """Update the cell when an engine has reported its outcome. Some outcomes are not in its directory: that the
        cell was refused, or that its worker died.

        A worker's death is recorded there, so that the cell is not tried again unless you ask for it.
        """
        before = record.training(self.record)
        self.look()
        if status == FAILED and self.status in (OUTDATED, *record.RESULTS) and record.training(self.record) == before:
            self.status, self.reason = status, reason  # the directory still has the previous result
        elif status == FAILED and self.status not in (FAILED, RUNNING, *record.RESULTS):
            with suppress(OSError, InputError):  # for example a full disk: the cell resumes once there is room
                self._record_death(str(reason))
            self.look()
        elif status == INVALID:
            self.status, self.reason = status, reason

    def _record_death(self, reason: str) -> None:
        from ablate.runs.recording import record_death  # imports torch and Lightning

        assert self.values is not None and self.fingerprint is not None
        cost = {"params": self.params, "macs": self.macs}
        record_death(Composition.of(self.overrides), self.values, self.fingerprint, cost, reason)

    def ended_elsewhere(self) -> str | None:
        """The status of a result that another process has made since the plan; None if there is none. This happens if
        two sweeps with rerun=true run at once."""
        known = record.read(self.directory)
        is_new = known is not None and known.is_result and record.training(known) != record.training(self.record)
        return known.status if known and is_new else None

    def compare(self, here: Here) -> None:
        """Set `status` to outdated if code or data have changed since the result, or the checkpoints, were made."""
        assert self.values is not None
        done = self.status in record.RESULTS
        if self.record and (done or (self.status in (INTERRUPTED, FAILED, DAMAGED) and _can_resume(self.directory))):
            then, root = self.record.provenance, self.values["data"].get("root")
            if changed := here.difference(then, self.values, root):
                self.status, self.reason = OUTDATED, changed

    def look(self) -> None:
        """Bring `status`, `reason`, `record` and measured `seconds` up to date with the cell's directory."""
        if self.values is None:
            return
        before, self.record = record.training(self.record), record.read(self.directory)
        if self.status == OUTDATED and record.training(self.record) == before:
            return  # nothing has changed since `compare`
        self.status, self.reason = standing(self.directory, self.record)
        if self.record and self.record.is_result:
            self.seconds = self.record.cost.get("seconds")


def standing(directory: Path, known: RunRecord | None) -> tuple[str, str | None]:
    """The status of the run in a directory, there or not, and the reason. `known`: what run.json says."""
    if known and known.is_result:
        faults = intact.faults(directory, known, thorough=False)
        return (DAMAGED, "; ".join(faults)) if faults else (known.status, None)
    if who := holder(directory) if directory.exists() else None:
        return RUNNING, f"{who.get('host', 'another host')}, process {who.get('pid', '?')}"
    if known and known.status == FAILED:
        return FAILED, known.failure
    if known:
        return INTERRUPTED, known.reason
    if _can_resume(directory):
        return INTERRUPTED, "run.json is damaged or missing, but there are checkpoints"
    return TO_DO, None


def _can_resume(directory: Path) -> bool:
    return any((directory / "checkpoints").glob("step-*.ckpt"))


def named(assignment: Mapping[str, Any]) -> str:
    """The parameters as you would type them."""
    return " ".join(f"{key}={word(value)}" for key, value in assignment.items())


def _key(text: str) -> str:
    """The key of an override, without + and ~."""
    return text.split("=", 1)[0].lstrip("+~")


def plan(
    file: SweepFile,
    typed: Sequence[str] = (),
    *,
    check_data: bool = False,
    elsewhere: bool = False,
    here: Here | None = None,
    costs: bool = True,
) -> list[PlannedCell]:
    """Every cell of the file. Identical cells become one.

    typed       overrides of all cells. One that sets a parameter of the file replaces it
    check_data  also read (and download) each data set, and check that the configuration fits it
    elsewhere   the cells are for other machines: this one need not have the GPUs that they ask for
    here        the code and data to compare stored results with; None: do not compare
    costs       also build each network: refuse what cannot be built, and count parameters and multiply-adds. Without,
                nothing is imported that trains, and these are known of cells with a result only

    Raises what Hydra raises if the file or `typed` name an axis, an option or a value that does not exist.
    """
    everywhere = variant.typed(typed)
    typed_keys = {_key(text) for text in (*typed, *everywhere)}
    composer, names = Composer(), cache(_names)
    why = cache(explained)  # which may take Hydra a while; the composer's refusal of many cells is one error
    checks: Checks | None = None
    cells: dict[str, PlannedCell] = {}
    refusal: Exception | None = None
    has_use: dict[str, bool] = {}
    for assignment in map(flattened, file.cells()):
        chosen = _chosen(assignment, typed_keys)
        overrides = [*(override(key, value) for key, value in chosen.items()), *everywhere]
        cell = PlannedCell(chosen, overrides, file.name)
        try:
            _keep_used(cell, composer, has_use)
            values = composer(cell.overrides)
            check_values(values)
            threads = resolve_in_sweep(values, [_key(text) for text in cell.overrides], elsewhere=elsewhere)
            if threads is not None:
                cell.one_thread = True
                cell.overrides.append(override("threads", threads))
            cell.values, cell.fingerprint, cell.status = values, fingerprint(values), TO_DO
            if cell.fingerprint in cells:
                cells[cell.fingerprint].same.append(chosen)
                continue
            if cell.fingerprint in names(values["runs_dir"]):
                cell.look()
                if here is not None and not values["rerun"]:
                    cell.compare(here)
            if cell.record and cell.status in (OUTDATED, *record.RESULTS) and not values["rerun"]:
                cell.params, cell.macs = (cell.record.cost.get(name) for name in ("params", "macs"))
            elif costs:
                checks = checks or _checks(check_data, elsewhere)
                cost = checks(values, cell.asked)
                cell.params, cell.macs = cost.params, cost.macs
        except (MissingConfigException, WrongNameError) as error:  # a name that does not exist: the whole file's fault
            _say_all_wrong(file, everywhere, typed_keys, composer)
            raise error
        except (InputError, HydraException, OmegaConfBaseException) as error:
            cell, refusal = PlannedCell(chosen, cell.overrides, file.name, reason=why(error)), refusal or error
        first = cells.setdefault(cell.fingerprint or f"invalid {cell.name}", cell)
        if first is not cell:
            first.same.append(chosen)
    if idle := [key for key, is_used in has_use.items() if not is_used]:
        raise WrongNameError(f"{idle[0]}: no model of this sweep uses it. Leave it out.")
    if refusal is not None and not isinstance(refusal, InputError) and not any(c.values for c in cells.values()):
        _say_all_wrong(file, everywhere, typed_keys, composer)
        raise refusal  # if Hydra refuses all cells, the file names a key that does not exist
    return list(cells.values())


def _chosen(assignment: Mapping[str, Any], typed_keys: Collection[str]) -> dict[str, Any]:
    """What a cell sets, its variant replaced by what that sets, without what was typed."""
    own = {key: value for key, value in assignment.items() if _key(key) not in typed_keys}
    return {key: value for key, value in variant.expanded(own).items() if _key(key) not in typed_keys}


def _say_all_wrong(file: SweepFile, everywhere: Sequence[str], typed_keys: Collection[str], composer: Composer) -> None:
    """Raise WrongNameError if the file names several things that do not exist, or cannot be written as overrides."""
    assignments, faults = file.cells(), Faults(file.path)

    def cells() -> Iterator[list[str]]:
        for assignment in map(flattened, assignments):
            overrides: list[str] = []
            with faults.noted():
                chosen = _chosen(assignment, typed_keys)
                overrides = [*(override(key, value) for key, value in chosen.items()), *everywhere]
            yield overrides

    names, looked_at = wrong_names(cells(), composer)
    if len(found := [*names, *faults.found]) > 1:
        raise WrongNameError(together(file.path, found, len(assignments) - looked_at))


def _keep_used(cell: PlannedCell, composer: Composer, has_use: dict[str, bool]) -> None:
    """Remove the overrides of axes that the cell's network does not have, such as `norm` for a network of the user's.

    has_use  key of an override -> whether the network of any cell has it; updated
    """
    kept = set(composer.used(cell.overrides))
    for text in cell.overrides:
        has_use[_key(text)] = has_use.get(_key(text), False) or text in kept
    left_out = {_key(text) for text in cell.overrides if text not in kept}
    cell.overrides = [text for text in cell.overrides if text in kept]
    cell.assignment = {key: value for key, value in cell.assignment.items() if _key(key) not in left_out}


def _names(runs_dir: str) -> set[str]:
    """The names in the folder of results, which are fingerprints."""
    folder = place.results_in(runs_dir)
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _checks(check_data: bool, elsewhere: bool) -> "Checks":
    from ablate.runs.checks import Checks  # imports torch and Lightning, not needed if every cell has a result

    return Checks(check_data, elsewhere)
