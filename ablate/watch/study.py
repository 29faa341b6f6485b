"""What is watched: the cells of a sweep file, or the runs in folders, as variants with a run for each seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ablate.comparison.columns import assignments
from ablate.comparison.comparison import label
from ablate.comparison.gathering import assignment, choices
from ablate.comparison.results import Result, read
from ablate.comparison.variants import Assignment, levels
from ablate.configuration.values import identity, word
from ablate.errors import InputError
from ablate.runs.record import RESULTS
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import FAILED, INTERRUPTED, INVALID, RUNNING, TO_DO, PlannedCell
from ablate.training.goal import goal_of
from ablate.watch.run import WatchedRun


@dataclass
class Cell:
    """A variant with one seed. `run` is None where it is invalid, `why` then says the reason."""

    run: WatchedRun | None
    why: str | None = None

    @property
    def status(self) -> str:
        return self.run.status if self.run else INVALID


@dataclass
class Row:
    """A variant; its cells by seed. Its label says by what it differs from the first one, the baseline."""

    label: str
    cells: dict[int, Cell] = field(default_factory=dict)


class Study(Protocol):
    """name, question  for the heading
    metric, goal       what the runs are compared by while they run: of the validation, not of the test
    rows               the baseline first
    ends               whether it is known which runs there will be
    """

    name: str
    question: str
    metric: str
    goal: str
    rows: list[Row]
    ends: bool

    def look(self) -> None:
        """Bring the rows, and each run in them, up to date."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left that the sweep would run."""


class OfFile:
    """The cells of a sweep file, as planned."""

    ends = True

    def __init__(self, file: SweepFile, cells: Sequence[PlannedCell]) -> None:
        self.name, self.question = file.name, file.description
        self.metric, self.goal = file.metric_name, file.goal
        found: dict[str, Row] = {}
        columns = assignments(cells)
        factors = [key for key in columns[0] if len({identity(column[key]) for column in columns}) > 1]
        for cell, column in zip(cells, columns, strict=True):
            row = found.setdefault(identity(column), Row(_named(column, columns[0], factors)))
            seed = int(cell.assignment.get("seed", (cell.values or {}).get("seed", 0)))
            row.cells.setdefault(seed, self._cell(cell))
        self.rows = list(found.values())

    def _cell(self, cell: PlannedCell) -> Cell:
        if cell.values is None or cell.status == INVALID:
            return Cell(None, cell.reason)
        return Cell(WatchedRun(cell.directory, self.metric, cell.values["trainer"].get("max_epochs")))

    def look(self) -> None:
        for row in self.rows:
            for cell in row.cells.values():
                if cell.run:
                    cell.run.look()

    @property
    def is_over(self) -> bool:
        return all(cell.status in (FAILED, INVALID, *RESULTS) for row in self.rows for cell in row.cells.values())


class OfFolders:
    """The runs in folders, each a run's directory or a folder of them, by what was typed for them. New ones come in
    as they are begun; of several with the same choices and seed the one counts that a report would take."""

    ends = False

    def __init__(self, folders: Sequence[Path], metric: str, goal: str | None = None) -> None:
        """Raises InputError for a folder that is not there."""
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"{folder}: there is no such file or folder.")
        self.name, self.question = " ".join(map(str, folders)), ""
        self.metric, self.goal = metric, goal_of(metric, goal)
        self.rows: list[Row] = []
        self._folders = list(folders)
        self._runs: dict[Path, WatchedRun] = {}
        self._results: dict[Path, Result] = {}

    def look(self) -> None:
        there = [path for folder in self._folders for path in _runs_in(folder)]
        for path in there:
            self._runs.setdefault(path, WatchedRun(path, self.metric)).look()
        for gone in self._runs.keys() - set(there):
            del self._runs[gone]
        results = dict(filter(None, (self._result(path) for path in there)))
        if {path: id(result) for path, result in results.items()} != {p: id(r) for p, r in self._results.items()}:
            self._results = results
            self.rows = self._grouped()

    def _result(self, path: Path) -> tuple[Path, Result] | None:
        """The run with its configuration, the same object as long as its record is; None where it is not whole."""
        run, known = self._runs[path], self._results.get(path)
        if run.record is None:
            return None
        if known is None or known.record is not run.record:
            try:
                known = read(path, run.record)
            except InputError:  # its configuration is not there yet, or damaged
                return None
            assert known is not None
            trainer = known.config.get("trainer")
            run.epochs = trainer.get("max_epochs") if isinstance(trainer, dict) else None
        return path, known

    def _grouped(self) -> list[Row]:
        ordered = sorted(self._results.items(), key=lambda item: _counts(item[1]))
        factors = choices([result for _, result in ordered])
        made = [(path, result.seed, assignment(result, factors)) for path, result in ordered]
        made.sort(key=lambda one: levels(one[2], factors))
        found: dict[str, Row] = {}
        for path, seed, chosen in made:  # of the same variant and seed the last one counts
            row = found.setdefault(identity(chosen), Row(_named(chosen, made[0][2], factors)))
            row.cells[seed] = Cell(self._runs[path])
        return list(found.values())

    @property
    def is_over(self) -> bool:
        statuses = [cell.status for row in self.rows for cell in row.cells.values()]
        return bool(statuses) and not any(status in (RUNNING, TO_DO, INTERRUPTED) for status in statuses)


def _named(chosen: Assignment, first: Assignment, factors: Iterable[str]) -> str:
    """By what a variant differs from the first one; that one by what it has of what varies."""
    name = label(chosen, first)
    own = " ".join(f"{key}={word(first[key])}" for key in factors)
    return f"{name}: {own}" if identity(chosen) == identity(first) and own else name


def _runs_in(folder: Path) -> list[Path]:
    if (folder / "run.json").exists():
        return [folder]
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _counts(result: Result) -> tuple[Any, ...]:
    return result.record.status == "finished", result.record.started
