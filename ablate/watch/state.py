"""What the page shows of a study, as plain values: texts are escaped by who shows them."""

import math
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from ablate.paths import relative
from ablate.report.drawing.gradients import heat_map
from ablate.report.numbers import Unit, about, numbered, unit
from ablate.runs.record import LOST, RESULTS
from ablate.sweep.plan import DAMAGED, FAILED, INTERRUPTED, INVALID, RUNNING, TO_DO
from ablate.training.goal import MAXIMIZE
from ablate.training.gradients.reading import read as read_gradients
from ablate.watch.run import WatchedRun
from ablate.watch.series import history
from ablate.watch.study import Cell, Row, Study

FRESH = 1.0  # seconds for which a look counts, however many pages ask
LINES, TROUBLES = 12, 50  # of an error, and how many are shown
COLUMNS = 48  # of a gradient map
LEFT = (TO_DO, RUNNING, INTERRUPTED, DAMAGED)


class Watched:
    """A study with what is known of it at the moment. Any thread may ask; one at a time looks."""

    def __init__(self, study: Study, clock: Callable[[], float] = time.monotonic) -> None:
        self.study = study
        self._lock, self._clock = threading.Lock(), clock
        self._looked = -math.inf

    def overview(self) -> dict[str, Any]:
        """Everything but curves and maps."""
        with self._current() as study:
            of, cells = unit(study.metric), [cell for row in study.rows for cell in row.cells.values()]
            counts = Counter(cell.status for cell in cells)
            rows = [_row(row, study.rows[0], of) for row in study.rows]
            means = [row["mean"] for row in rows if row["mean"] is not None]
            best = (max if study.goal == MAXIMIZE else min)(means) if means else None
            return {
                "name": study.name,
                "question": study.question,
                "metric": study.metric,
                "unit": of.of_value,
                "difference": of.of_difference,
                "decimals": of.decimals,
                "seeds": sorted({seed for row in study.rows for seed in row.cells}),
                "rows": [row | {"best": row["mean"] is not None and row["mean"] == best} for row in rows],
                "counts": counts,
                "cells": len(cells),
                "left": _left(study, counts),
                "troubles": [trouble for row in study.rows for trouble in _troubles(row)][:TROUBLES],
                "over": study.is_over,
                "ends": study.ends,
            }

    def curves(self, number: int) -> dict[str, Any] | None:
        """Loss and metric of each run of a row, by its place; None where there is no such row."""
        with self._current() as study:
            if not 0 <= number < len(study.rows):
                return None
            row, of = study.rows[number], unit(study.metric)
            lines = [
                {
                    "seed": seed,
                    "status": cell.status,
                    "loss": cell.run.series.loss.points(),
                    "metric": [(step, value * of.factor) for step, value in cell.run.series.metric.points()],
                }
                for seed, cell in sorted(row.cells.items())
                if cell.run and cell.status != TO_DO
            ]
            return {"label": row.label, "lines": lines}

    def gradients(self, number: int, seed: int) -> dict[str, Any] | None:
        """The map so far of the run with a seed, as SVG; None where there is no such run."""
        with self._current() as study:
            row = study.rows[number] if 0 <= number < len(study.rows) else None
            run = row.cells[seed].run if row and seed in row.cells else None
        if row is None or run is None:
            return None
        said = f"seed {seed}, {run.status}"
        if run.record and run.record.gradient_flow:
            said += f", {run.record.gradient_flow}"
        try:
            found = read_gradients(history(run.directory, "gradient_norms"), COLUMNS)
        except Exception as error:  # a damaged file, or one that was joined this moment
            return {"svg": None, "said": f"{said}: its gradients cannot be read at the moment ({error})"}
        if found is None:
            return {"svg": None, "said": f"{said}: no gradient has been recorded yet"}
        return {"svg": str(heat_map(row.label, said, found)), "said": said}

    def _current(self) -> "_Held":
        return _Held(self)

    def look(self) -> None:
        """Look at the runs, unless that was done a moment ago."""
        if self._clock() - self._looked >= FRESH:
            self.study.look()
            self._looked = self._clock()


class _Held:
    """The study, looked at, for one thread."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def __enter__(self) -> Study:
        self._watched._lock.acquire()
        try:
            self._watched.look()
        except BaseException:
            self._watched._lock.release()
            raise
        return self._watched.study

    def __exit__(self, *_: object) -> None:
        self._watched._lock.release()


def _row(row: Row, baseline: Row, of: Unit) -> dict[str, Any]:
    """A variant: its cells by seed (status, value, share that is done), and the finished ones' mean and range."""
    values, others = _values(row), _values(baseline)
    paired = [value - others[seed] for seed, value in values.items() if seed in others]
    counts = Counter(cell.status for cell in row.cells.values())
    return {
        "label": row.label,
        "cells": {seed: _cell(cell, of) for seed, cell in row.cells.items()},
        "finished": len(values),
        "lost": {status: counts[status] for status in (*LOST, FAILED, INVALID) if counts[status]},
        "of": len(row.cells),
        "mean": _scaled(statistics.fmean(values.values()), of) if values else None,
        "range": [_scaled(end(values.values()), of) for end in (min, max)] if values else None,
        "change": _scaled(statistics.fmean(paired), of) if paired and row is not baseline else None,
        "pairs": len(paired),
    }


def _cell(cell: Cell, of: Unit) -> list[Any]:
    if cell.run is None or cell.status == TO_DO:
        return [cell.status, None, None]
    done = cell.run.done if cell.status in (RUNNING, INTERRUPTED) else None
    return [cell.status, _scaled(cell.run.value, of), None if done is None else round(done, 3)]


def _values(row: Row) -> dict[int, float]:
    """The metric of its finished runs, by seed."""
    found = {seed: cell.run.value for seed, cell in row.cells.items() if cell.run and cell.status == "finished"}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def _scaled(value: float | None, of: Unit) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value * of.factor, of.decimals)


def _troubles(row: Row) -> Iterator[dict[str, Any]]:
    """What has gone wrong, with its last lines and where to look."""
    for seed, cell in sorted(row.cells.items()):
        lines = _last_lines(cell)
        if lines:
            place = str(relative(cell.run.directory)) if cell.run else None
            yield {"label": row.label, "seed": seed, "status": cell.status, "lines": lines, "place": place}


def _last_lines(cell: Cell) -> list[str]:
    run = cell.run
    if run is None:
        return [cell.why or "it cannot be run"]
    known, said = run.record, []
    if run.status == FAILED:
        said = (known.error if known and known.error else run.reason or "").strip().splitlines()[-LINES:]
    elif run.status == "diverged" and known:
        said = [f"The loss of optimizer step {known.diverged_at} is not finite."]
    elif run.status == "stopped" and known and known.stopped:
        said = [f"After {known.stopped.get('step')} optimizer steps: {known.stopped.get('reason')}"]
    elif run.status in (INTERRUPTED, DAMAGED):
        said = [run.reason or "It was interrupted, or its process is gone. The same command resumes it."]
    return said + ([run.unread] if run.unread else [])


def _left(study: Study, counts: Counter[str]) -> str | None:
    """The time left in words, as far as runs that have ended or are under way tell it."""
    if not any(counts[status] for status in LEFT):
        return None
    if not counts[RUNNING]:
        return f"nothing runs at the moment; {numbered(sum(counts[s] for s in LEFT), 'run')} left"
    typical: dict[str, float] = {}
    for row in study.rows:
        seconds = [s for cell in row.cells.values() if cell.run and (s := _seconds(cell.run)) is not None]
        if seconds:
            typical[row.label] = statistics.median(seconds)
    if not typical:
        return None
    overall = statistics.median(typical.values())
    work = [
        typical.get(row.label, overall) * (1 - (cell.run.done or 0.0))
        for row in study.rows
        for cell in row.cells.values()
        if cell.run and cell.status in LEFT
    ]
    at_once = min(counts[RUNNING], len(work))
    return f"{about(max(max(work), sum(work) / at_once))} left"


def _seconds(run: WatchedRun) -> float | None:
    """How long the whole training took, or will take by what is done of it."""
    known = run.record
    if known is None:
        return None
    if known.status in RESULTS:
        seconds = known.cost.get("seconds")
        return float(seconds) if known.status == "finished" and seconds else None
    if run.status != RUNNING or not run.done or known.resumed:
        return None
    started = datetime.fromisoformat(known.started)
    return (datetime.now(UTC) - started).total_seconds() / run.done
