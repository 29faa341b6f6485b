"""What a sweep shows on the terminal: while it runs, and when it has ended."""

import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from ablate.configuration.values import word
from ablate.paths import relative
from ablate.report.numbers import about, count, duration, unit
from ablate.report.terminal.markup import plain, prose
from ablate.report.terminal.narrow import fitted
from ablate.report.terminal.plan_table import COLOURS, outdated_lines, values_of, varying
from ablate.report.terminal.seed_rows import ROWS, SeedRows
from ablate.runs.record import RESULTS, RunRecord
from ablate.runs.tracked.links import FOLDER, link
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import DAMAGED, FAILED, INTERRUPTED, INVALID, OUTDATED, RUNNING, TO_DO, PlannedCell
from ablate.training.goal import MAXIMIZE

if TYPE_CHECKING:  # what shows a training's progress takes Lightning, which a plan does not
    from ablate.training.progress import Epoch, Within

QUIET = 15.0  # seconds without a line before one says how far a run is, where no bars do


class SweepView:
    """On a terminal a row for each variant with a mark for each seed, a bar for the sweep and one for each run;
    elsewhere one plain line for each run that ends, and now and then one of a run that is under way.

    cells  that are run
    every  all cells of the sweep, if there are others
    """

    def __init__(
        self, file: SweepFile, cells: Sequence[PlannedCell], every: Sequence[PlannedCell] | None = None
    ) -> None:
        self._count, self._ended = len(cells), 0
        self._metric = file.metric_name
        self._varying = varying(cells)
        self._console = Console(highlight=False, soft_wrap=True)
        self._started = self._told = time.monotonic()
        self._waited = False
        self._tasks: dict[Path, TaskID] = {}
        self._rows = SeedRows(file, every or cells)
        self._progress = _WithRows(
            self._rows,
            self._tasks,
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=not sys.stdout.isatty(),
        )
        self._whole = self._progress.add_task(f"[bold]{plain(file.name)}", total=len(cells), what="runs", note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, cell: PlannedCell) -> None:
        self._tasks[cell.directory] = self._progress.add_task(
            f"  {plain(self._short(cell))}", total=None, what="epochs", note=""
        )

    def epoch(self, cell: PlannedCell, epoch: "Epoch") -> None:
        note = _said(self._metric, epoch.metrics[self._metric]) if self._metric in epoch.metrics else ""
        if note:
            self._rows.saw(cell, epoch.number, epoch.metrics[self._metric])
        self._progress.update(self._tasks[cell.directory], completed=epoch.number, total=epoch.of, note=note)
        self._tell(cell, f"epoch {epoch.number}/{epoch.of}{'  ' * bool(note)}{note}")

    def within(self, cell: PlannedCell, within: "Within") -> None:
        self._progress.update(self._tasks[cell.directory], note=f"{within.what} {within.done}")
        self._tell(cell, str(within))

    def _tell(self, cell: PlannedCell, text: str) -> None:
        """A line of a run that is under way, where there are no bars and none has been printed for a while."""
        if self._progress.disable and time.monotonic() - self._told >= QUIET:
            self._console.print(f"{self._ended}/{self._count}  {plain(self._short(cell))}  {text}")
            self._told = time.monotonic()

    def taken(self, cell: PlannedCell) -> None:
        self._remove(cell)
        self._console.print(f"[dim]{plain(self._short(cell))}: another process is at it, to be looked at again[/]")

    def ended(self, cell: PlannedCell) -> None:
        self._remove(cell)
        if cell.status != INTERRUPTED:  # which continues later: it is not done
            self._ended += 1
        self._told = time.monotonic()
        value = _value(cell, self._metric)
        numbers = "" if value is None else f"  {_said(self._metric, value)}"
        seconds = f"  {duration(cell.seconds)}" if cell.status in RESULTS else ""
        reason = f"  {plain(cell.reason)}" if cell.reason else ""
        number = "not done" if cell.status == INTERRUPTED else f"{self._ended}/{self._count}"
        self._console.print(
            f"[dim]{number}[/]  {plain(self._short(cell))}  "
            f"[{COLOURS.get(cell.status, 'default')}]{cell.status}[/]{numbers}{seconds}{reason}"
        )
        self._progress.update(self._whole, completed=self._ended, note=self._left())

    def waiting(self, cells: Sequence[PlannedCell]) -> None:
        if not self._waited:
            names = "; ".join(map(self._short, cells))
            self._console.print(f"waiting for {len(cells)} that other processes train: {plain(names)}")
        self._waited = True

    def fewer(self, cell: PlannedCell, why: str, workers: int) -> None:
        self._remove(cell)
        self._console.print(
            f"[dim]{plain(self._short(cell))}: {why}; {workers} worker{'s' * (workers > 1)} from"
            " here on, and it is tried again[/]"
        )

    def stopping(self) -> None:
        self._console.print("stopping: the runs save their state. Once more to stop at once.")

    def _remove(self, cell: PlannedCell) -> None:
        if cell.directory in self._tasks:
            self._progress.remove_task(self._tasks.pop(cell.directory))

    def _left(self) -> str:
        if not 0 < self._ended < self._count:
            return ""
        return f"{about((time.monotonic() - self._started) / self._ended * (self._count - self._ended))} left"

    def _short(self, cell: PlannedCell) -> str:
        return by_what_varies(cell, self._varying)


def show_result(file: SweepFile, cells: Sequence[PlannedCell], arguments: Sequence[str]) -> None:
    """The cells in order of the sweep's metric, the best first; then what failed, and how to run that again.

    arguments  of the sweep, as typed
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    metric = file.metric_name
    best_first = -1 if file.goal == MAXIMIZE else 1
    names = varying(cells)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name)
    shown = [metric] + [other for other in ("test/acc",) if other != metric]
    for name in shown:
        table.add_column(name, justify="right")
    for name in ("parameters", "training"):
        table.add_column(name, justify="right")
    table.add_column("run")

    def place(cell: PlannedCell) -> tuple[bool, bool, float]:
        value = _value(cell, metric)  # what a run last had before it diverged says nothing
        return value is None, cell.status not in RESULTS, best_first * (value or 0.0)

    written = {id(cell): values for cell, values in zip(cells, values_of(cells, names), strict=True)}
    for cell in sorted(cells, key=place):
        values = written[id(cell)]
        numbers = [_value(cell, name) for name in shown]
        colour = COLOURS.get(cell.status, "default")
        first, *rest = ("" if n is None else _written(name, n) for name, n in zip(shown, numbers, strict=True))
        first = first or f"[{colour}]{cell.status}[/]"
        params = "" if cell.params is None else count(cell.params)
        seconds = duration(cell.seconds) if cell.status in RESULTS else ""
        table.add_row(*values, first, *rest, params, seconds, f"[dim]{cell.fingerprint or ''}[/]")
    console.print()
    console.print(fitted(table, console, ("parameters", "training", *shown[1:], "run")))
    counts = Counter(cell.status for cell in cells)
    prose(console, ", ".join(f"{number} {status}" for status, number in counts.items()) + ".")
    for cell in cells:
        if cell.status in (FAILED, INVALID, DAMAGED):
            prose(console, f"[red]{cell.status}[/] {plain(cell.name)}: {plain(last(cell.reason))}")
        if cell.status == FAILED:
            console.print(f"    [bold]python -m ablate {plain(shlex.join(cell.overrides))}[/]")
    for line in outdated_lines(cells):
        prose(console, f"[{COLOURS[OUTDATED]}]{OUTDATED}[/] {plain(line)}")
    if counts[FAILED]:
        again = shlex.join(["--retry-failed", *(argument for argument in arguments if argument != "--retry-failed")])
        console.print(f"All of them again: [bold]python -m ablate sweep {plain(again)}[/]")
    show_offline(file, cells)
    unfinished = counts[TO_DO] + counts[INTERRUPTED] + counts[DAMAGED] + counts[RUNNING]
    if unfinished:
        prose(console, f"{unfinished} left: the same command continues the sweep.")


class _WithRows(Progress):
    """Bars below the variants' rows."""

    def __init__(
        self, rows: SeedRows, running: Mapping[Path, TaskID], *columns: ProgressColumn, console: Console, **how: Any
    ) -> None:
        self._rows, self._running, self._screen = rows, running, console
        super().__init__(*columns, console=console, **how)

    def get_renderables(self) -> Iterable[RenderableType]:
        room = self._screen.height - len(self.tasks) - 2  # a frame higher than the terminal would scroll away
        if room > 1:
            yield self._rows.table(self._running.keys(), min(ROWS, room - 1), self._screen.width)
        yield from super().get_renderables()


def show_offline(file: SweepFile, cells: Sequence[PlannedCell]) -> None:
    """How to look at what W&B has of the runs here, and how to upload it."""
    console = Console(highlight=False, soft_wrap=True)
    varied = varying(cells)
    runs = [
        (_called(cell, cell.record, varied), cell.directory, cell.record)
        for cell in cells
        if cell.record and cell.record.wandb.mode == "offline"
    ]
    if not runs:
        return
    links = runs[0][1].parent / FOLDER / file.name.replace("/", "_")
    if link(runs, links):
        console.print(f"look at them  [bold]{plain(shlex.join(['wandb', 'leet', str(relative(links))]))}[/]")
        sync = shlex.join(["wandb", "sync", str(relative(links))])
        console.print(f"upload them   [bold]{plain(sync)}[/]")


def by_what_varies(cell: PlannedCell, varied: Sequence[str]) -> str:
    """The cell by the parameters that are not the same in all cells."""
    names = varied or list(cell.assignment)
    said = " ".join(f"{name}={word(cell.assignment[name])}" for name in names if name in cell.assignment)
    return said or cell.name or "baseline"  # a variant that sets nothing


def _called(cell: PlannedCell, known: RunRecord, varied: Sequence[str]) -> str:
    """The run beside the sweep's others: by the user's name for it, or by what varies."""
    is_named = cell.values is not None and cell.values["tracking"].get("name")
    return (known.wandb.name if is_named else None) or by_what_varies(cell, varied)


def last(text: str | None) -> str:
    return (text or "").strip().splitlines()[-1] if text else ""


def _said(metric: str, value: float) -> str:
    return f"{metric} {_written(metric, value)}"


def _written(metric: str, value: float) -> str:
    """As a report writes it: accuracies in percent."""
    of = unit(metric)
    return of.value(value) + of.of_value


def _value(cell: PlannedCell, metric: str) -> float | None:
    return cell.record.metrics.get(metric) if cell.record and cell.status == "finished" else None
