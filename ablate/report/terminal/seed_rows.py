"""A sweep's variants as rows with a mark for each seed, and the metric so far, while it runs."""

import math
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
BARS, SPARK = "▁▂▃▄▅▆▇█", 12  # of a small curve: its heights, and how wide it is at most


class SeedRows:
    """Which seeds of which variant are done, and the best mean so far."""

    def __init__(self, file: SweepFile, cells: Sequence[PlannedCell]) -> None:
        self._metric, self._goal = file.metric_name, file.goal
        self._low, self._high = math.inf, -math.inf  # of all values seen: each frame draws every row between them
        names = [name for name in varying(cells) if name != "seed"]
        # With their directories, which take long to work out for a frame of a large sweep.
        self._rows: dict[str, list[tuple[PlannedCell, Path | None]]] = {}
        for cell in cells:
            label = " ".join(f"{name}={word(cell.assignment[name])}" for name in names if name in cell.assignment)
            place = cell.directory if cell.values is not None else None
            self._rows.setdefault(label or "baseline", []).append((cell, place))
        self._label_of = {id(cell): label for label, own in self._rows.items() for cell, _ in own}
        self._seen: dict[str, dict[int, list[float]]] = {}  # the metric of each variant's runs, by epoch

    def saw(self, cell: PlannedCell, epoch: int, value: float) -> None:
        """The metric of a cell that runs, after an epoch."""
        if (label := self._label_of.get(id(cell))) is not None and math.isfinite(value):
            self._seen.setdefault(label, {}).setdefault(epoch, []).append(value)
            self._low, self._high = min(self._low, value), max(self._high, value)

    def table(self, running: Collection[Path], rows: int = ROWS, width: int = 0) -> Table:
        """As it is now: the variants that run first. `running`: the directories of the cells that do.

        width  of the terminal: where there is room, a small curve of the metric by epoch, the mean over the runs
               that this process has seen, all on one scale
        """
        shown = sorted(self._rows, key=lambda label: not self._runs(label, running))
        means = {label: mean for label in shown if (mean := self._mean(label)) is not None}
        best = (max if self._goal == MAXIMIZE else min)(means.values()) if means else None
        table, of = Table(box=None, padding=(0, 2, 0, 0), show_header=False), unit(self._metric)
        drawn: list[tuple[Text, Text, Text, Text]] = []
        for label in shown[:rows]:
            mean = means.get(label)
            said = "" if mean is None else f"{self._metric} {of.value(mean)}{of.of_value}"
            if mean is not None and mean == best and len(means) > 1:
                said += ", best so far"
            spark = Text(self._spark(label), style="cyan")
            drawn.append((Text(bare(label)), self._marks(label, running), spark, Text(said, style="dim")))
        widths = [max((cell.cell_len for cell in column), default=0) for column in zip(*drawn, strict=True)]
        has_room = sum(widths) + 2 * len(widths) <= width
        for name, marks, spark, mean_so_far in drawn:
            table.add_row(name, marks, *([spark] if has_room else []), mean_so_far)
        if len(shown) > rows:
            table.add_row(Text(f"and {len(shown) - rows:,} more", style="dim"))
        return table

    def _marks(self, label: str, running: Collection[Path]) -> Text:
        marks = Text()
        for cell, place in self._rows[label]:
            status = RUNNING if place in running else cell.status
            marks.append(MARKS.get(status, OPEN), style=COLOURS.get(status, ""))
        return marks

    def _spark(self, label: str) -> str:
        """The variant's curve in at most `SPARK` characters; nothing before its second epoch."""
        curve = [statistics.fmean(values) for _, values in sorted(self._seen.get(label, {}).items())]
        if len(curve) < 2:
            return ""
        low, high = self._low, self._high
        count = min(SPARK, len(curve))
        points = [curve[round(at * (len(curve) - 1) / (count - 1))] for at in range(count)]
        share = [(value - low) / (high - low) if high > low else 0.5 for value in points]
        return "".join(BARS[min(len(BARS) - 1, int(part * len(BARS)))] for part in share)

    def _runs(self, label: str, running: Collection[Path]) -> bool:
        return any(place in running for _, place in self._rows[label])

    def _mean(self, label: str) -> float | None:
        """The metric's, over the seeds that have finished."""
        finished = [cell.record for cell, _ in self._rows[label] if cell.record and cell.status == "finished"]
        values = [value for record in finished if (value := record.metrics.get(self._metric)) is not None]
        return statistics.fmean(values) if values else None
