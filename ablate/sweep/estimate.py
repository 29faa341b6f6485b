"""Estimates how long the cells of a plan will train: from cells that have a result, or from a few timed steps."""

import json
import logging
import statistics
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from ablate.runs.record import RESULTS
from ablate.sweep.plan import INVALID, OUTDATED, PlannedCell

LATEST = 8  # of the finished cells: what else a machine does changes from hour to hour
HARDWARE = ("accelerator", "devices", "precision")

log = logging.getLogger(__name__)


def estimate(cells: Sequence[PlannedCell], measure: bool = True) -> None:
    """Set `seconds`, and `by_steps`, of the cells that have no result.

    Cells with the same data, threads, hardware and limits to an epoch's batches are compared: their training time is
    assumed to be proportional to multiply-adds times epochs, as those took that finished last. If none of them has a
    result, one of them is timed for a few steps on random images (`measure`). If that is not possible (the cell is for
    another machine, its data are not here, or it fails), `seconds` is None.
    """
    groups: dict[str, list[PlannedCell]] = defaultdict(list)
    for cell in cells:
        if cell.values is not None:
            data = {key: value for key, value in cell.values["data"].items() if key != "seed"}
            names = [key for key in cell.values["trainer"] if key in HARDWARE or key.startswith("limit_")]
            trainer = {key: cell.values["trainer"][key] for key in names}
            groups[json.dumps([data, trainer, cell.values["threads"]])].append(cell)
    for group in groups.values():
        left = [cell for cell in group if cell.status not in (OUTDATED, *RESULTS)]
        done = [cell for cell in group if cell.status == "finished" and cell.seconds]
        done.sort(key=lambda cell: (cell.record.ended if cell.record else None) or "")
        rates = [(cell.seconds or 0.0) / _work(cell) for cell in done[-LATEST:]]
        by_steps = not rates
        if left and not rates and measure:
            from ablate.sweep.timing import timed  # imports torch and Lightning

            typical = sorted(left, key=_work)[len(left) // 2]
            try:
                seconds = timed(typical.values or {})
            except Exception:  # the run will report the error; the plan only lacks an estimate
                log.info("%s cannot be timed", typical.name, exc_info=True)
                seconds = None
            rates = [] if seconds is None else [seconds / _work(typical)]
        for cell in left:
            cell.seconds = statistics.median(rates) * _work(cell) if rates else None
            cell.by_steps = by_steps and bool(rates)


def seconds_left(cells: Sequence[PlannedCell]) -> float | None:
    """The training time of all cells that are left together; None where that of one is not known."""
    left = [cell.seconds for cell in cells if cell.status not in (*RESULTS, OUTDATED, INVALID)]
    known = [seconds for seconds in left if seconds is not None]
    return sum(known) if len(known) == len(left) else None


def overhead(cells: Sequence[PlannedCell]) -> float | None:
    """Seconds that a cell takes besides its training, to start, to test and to store: the median of those that have
    finished; None where none has."""
    known = [cell.record for cell in cells if cell.status == "finished" and cell.record and not cell.record.resumed]
    taken = [
        (datetime.fromisoformat(record.ended) - datetime.fromisoformat(record.started)).total_seconds()
        - record.cost["seconds"]
        for record in known
        if record.ended and record.started and record.cost.get("seconds") is not None
    ]
    return statistics.median(taken) if taken else None


def longest_first(cells: Sequence[PlannedCell]) -> list[PlannedCell]:
    """The cells in the order in which workers should take them, so that none is left alone with a long one at the end.
    Cells of equal work keep their order."""
    return sorted(cells, key=_work, reverse=True)


def _work(cell: PlannedCell) -> float:
    assert cell.values is not None
    return max(1, cell.macs or 0) * float(cell.values["trainer"]["max_epochs"])
