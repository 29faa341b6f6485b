"""A sweep's variants as rows with a mark for each seed, while it runs."""

import statistics
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ablate.configuration.values import word
from ablate.errors import bare
from ablate.report.numbers import unit
from ablate.report.terminal.plan_table import COLOURS, varying
from ablate.runs.record import LOST
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import FAILED, INVALID, RUNNING, PlannedCell
from ablate.training.goal import MAXIMIZE

DONE, HALF, OPEN, WRONG, LOST_MARK = "●", "◐", "○", "×", "▲"
MARKS = {"finished": DONE, RUNNING: HALF, FAILED: WRONG, INVALID: WRONG, **dict.fromkeys(LOST, LOST_MARK)}
ROWS = 12  # shown at most


class SeedRows:
    """Which seeds of which variant are done, and the best mean so far."""

    def __init__(self, file: SweepFile, cells: Sequence[PlannedCell]) -> None:
        self._metric, self._goal = file.metric_name, file.goal
        names = [name for name in varying(cells) if name != "seed"]
        # With their directories, which take long to work out for a frame of a large sweep.
        self._rows: dict[str, list[tuple[PlannedCell, Path | None]]] = {}
        for cell in cells:
            label = " ".join(f"{name}={word(cell.assignment[name])}" for name in names if name in cell.assignment)
            place = cell.directory if cell.values is not None else None
            self._rows.setdefault(label or file.name, []).append((cell, place))

    def table(self, running: Collection[Path], rows: int = ROWS) -> Table:
        """As it is now: the variants that run first. `running`: the directories of the cells that do."""
        shown = sorted(self._rows, key=lambda label: not self._runs(label, running))
        means = {label: mean for label in shown if (mean := self._mean(label)) is not None}
        best = (max if self._goal == MAXIMIZE else min)(means.values()) if means else None
        table, of = Table(box=None, padding=(0, 2, 0, 0), show_header=False), unit(self._metric)
        for label in shown[:rows]:
            mean = means.get(label)
            said = "" if mean is None else f"{self._metric} {of.value(mean)}{of.of_value}"
            if mean is not None and mean == best and len(means) > 1:
                said += ", best so far"
            table.add_row(Text(bare(label)), self._marks(label, running), Text(said, style="dim"))
        if len(shown) > rows:
            table.add_row(Text(f"and {len(shown) - rows:,} more", style="dim"))
        return table

    def _marks(self, label: str, running: Collection[Path]) -> Text:
        marks = Text()
        for cell, place in self._rows[label]:
            status = RUNNING if place in running else cell.status
            marks.append(MARKS.get(status, OPEN), style=COLOURS.get(status, ""))
        return marks

    def _runs(self, label: str, running: Collection[Path]) -> bool:
        return any(place in running for _, place in self._rows[label])

    def _mean(self, label: str) -> float | None:
        """The metric's, over the seeds that have finished."""
        finished = [cell.record for cell, _ in self._rows[label] if cell.record and cell.status == "finished"]
        values = [value for record in finished if (value := record.metrics.get(self._metric)) is not None]
        return statistics.fmean(values) if values else None
