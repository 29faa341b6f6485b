"""Curves and gradient norms of runs, read in bounded time however long the runs were."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.ndimage import gaussian_filter1d

from ablate.comparison.results import Result
from ablate.errors import bare
from ablate.runs.record import RESULTS
from ablate.training.gradients.reading import Gradients, last_step, read

log = logging.getLogger(__name__)
T = TypeVar("T")

NORMS = "gradient_norms.parquet"
NO_POINTS = np.empty((0, 2))

POINTS = 120  # of a curve
COLUMNS = 48  # of a gradient map: stretches of the training
RUNS = 32  # of a variant, whose curves are read
GRADIENT_RUNS = 8  # of a variant, whose gradient norms are read
STRETCHES = 200  # of the training, that a curve by step has
SMOOTH = 3.0  # of these: the deviation of the Gaussian that smooths it
ROWS_READ = 4_000_000  # of a run's gradient norms


@dataclass(frozen=True)
class Curve:
    """One metric of several runs by epoch: mean over the seeds, and the lowest and highest of them.

    lost  the curves of runs that diverged, each up to its last epoch; they are not in the mean
    """

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    lost: list[tuple[np.ndarray, np.ndarray]]


def curve(results: Sequence[Result], name: str) -> Curve | None:
    """The metric's curve over the epochs, of the first runs that have ended; None where none of them has it."""
    finished: list[np.ndarray] = []
    lost: list[np.ndarray] = []
    for result in results:
        status = result.record.status
        if len(finished) + len(lost) == RUNS:
            break
        if status in RESULTS:
            read_points = _if_whole(result, "metrics.parquet", partial(result.points, name))
            if read_points is not None and len(read_points):
                (finished if status == "finished" else lost).append(read_points)
    if not finished and not lost:
        return None
    epochs = np.unique(np.concatenate([points[:, 0] for points in finished or lost]))
    if len(epochs) > POINTS:
        epochs = epochs[np.linspace(0, len(epochs) - 1, POINTS).round().astype(int)]
    values = np.full((max(1, len(finished)), len(epochs)), np.nan)
    for row, points in zip(values, finished, strict=False):
        _, ours, theirs = np.intersect1d(epochs, points[:, 0], return_indices=True)
        row[ours] = points[theirs, 1]
    present = np.isfinite(values).any(axis=0)
    epochs, values = epochs[present], values[:, present]
    ends = [(points[:, 0], points[:, 1]) for points in lost]
    return Curve(epochs, np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0), ends)


@dataclass(frozen=True)
class StepCurve:
    """One metric of several runs by optimizer step, in stretches of steps.

    raw     the mean of each stretch, over the seeds
    smooth  the same under a Gaussian
    """

    steps: np.ndarray
    raw: np.ndarray
    smooth: np.ndarray


def step_curve(results: Sequence[Result], name: str) -> StepCurve | None:
    """The metric's curve over the steps, of the first runs that have finished; None where none of them has it."""
    found: list[np.ndarray] = []
    for result in results:
        if result.record.status == "finished" and len(found) < RUNS:
            own = _if_whole(result, "metrics.parquet", partial(result.points, name, by="step"))
            found += [] if own is None or not len(own) else [own]
    if not found:
        return None
    end = max(own[-1, 0] for own in found) + 1
    stretches = int(min(STRETCHES, end))
    total, count = np.zeros(stretches), np.zeros(stretches)
    for own in found:
        places = np.minimum((own[:, 0] * stretches / end).astype(int), stretches - 1)
        total += np.bincount(places, own[:, 1], stretches)
        count += np.bincount(places, minlength=stretches)
    known = count > 0
    raw = total[known] / count[known]
    steps = (np.flatnonzero(known) + 0.5) * end / stretches
    return StepCurve(steps, raw, gaussian_filter1d(raw, SMOOTH, mode="nearest"))


def gradients(results: Sequence[Result]) -> list[tuple[Result, Gradients]]:
    """The gradients of the first few runs that have any, in columns that stand for the same steps."""
    ends: list[tuple[Result, Path, int]] = []
    for result in results:
        path = result.directory / NORMS if result.directory else None
        if path and len(ends) < GRADIENT_RUNS and path.exists():
            last = _if_whole(result, NORMS, partial(last_step, path))
            ends += [] if last is None else [(result, path, last)]
    steps = 1 + max((last for _, _, last in ends), default=0)
    found = [(result, _if_whole(result, NORMS, partial(_gradients, path, steps=steps))) for result, path, _ in ends]
    return [(result, read) for result, read in found if read is not None]


# What reading a file raises that is damaged, or that somebody else has written.
_DAMAGED = (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError)


def _if_whole(result: Result, file: str, read: Callable[[], T]) -> T | None:
    """What `read` gives; None, with a warning, where the run's file is damaged."""
    try:
        return read()
    except _DAMAGED as error:
        _warn(f"{result.place}/{file}", str(error))
        return None


@cache
def _warn(path: str, error: str) -> None:
    """Once for each file."""
    log.warning("%s is damaged and left out of the drawings: %s", bare(path), bare(error))


def _gradients(path: Path, steps: int) -> Gradients | None:
    return read([path], COLUMNS, steps=steps, rows=ROWS_READ)


def points(path: Path, name: str, by: str = "epoch") -> np.ndarray:
    """A metric's curve in a run's metrics.parquet: (epoch or step, value) rows, by these; finite values only."""
    if not path.exists():
        return NO_POINTS
    with pq.ParquetFile(path) as file:  # read_table would guess columns from folders named such as epoch=20
        table = file.read(columns=[by, "name", "value"])
    table = table.filter(pc.equal(table["name"].cast(pa.string()), name)).sort_by(by)
    rows = np.column_stack([table[by].to_numpy(), table["value"].to_numpy()]).reshape(-1, 2)
    return rows[np.isfinite(rows[:, 1])]
