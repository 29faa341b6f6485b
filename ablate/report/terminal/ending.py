"""What a sweep, or a multirun, ends with: the first sentence of its answer, and the command that shows the rest."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ablate.comparison.comparison import Comparison
from ablate.comparison.gathering import from_plan, from_results
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.paths import relative
from ablate.report.answer import answer
from ablate.report.terminal.markup import plain, prose
from ablate.runs.record import RESULTS, RunRecord
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import FAILED, INVALID, PlannedCell

NAMED = 8  # runs that a command names one by one; of more, their folder


def show(file: SweepFile, cells: Sequence[PlannedCell], words: Sequence[str]) -> None:
    """Nothing where no cell has a result; no answer as long as cells are left, which could turn it.

    words  of the sweep, as `ablate report` takes them: the file, and its overrides
    """
    if not any(cell.status in RESULTS for cell in cells):
        return
    is_over = all(cell.status in (FAILED, INVALID, *RESULTS) for cell in cells)
    _show((lambda: from_plan(cells, file)) if is_over else None, words)


def show_runs(ended: Sequence[tuple[Path, RunRecord]]) -> None:
    """The same of the runs of a multirun that have ended: their directories, with their records in the words of now."""
    directories = [directory for directory, _ in ended]
    folders = list(dict.fromkeys(path.parent for path in directories))
    named = directories if len(directories) <= NAMED else folders
    asked = {directory.resolve(): record for directory, record in ended}

    def compared() -> Comparison:
        found = find(directories)
        return from_results([replace(run, record=asked[run.directory.resolve()]) for run in found if run.directory], "")

    _show(compared, [str(relative(path)) for path in named])


def _show(compared: Callable[[], Comparison] | None, words: Sequence[str]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if compared is not None:
        try:
            prose(console, f"\n[bold]{plain(answer(compared())[0])}[/]")
        except InputError as error:  # runs that cannot be compared as they are: `report` takes what else it needs
            prose(console, f"\n{plain(error)}")
    console.print(f"The report: [bold]{plain(shlex.join(['python', '-m', 'ablate', 'report', *words]))}[/]")
