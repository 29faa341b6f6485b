"""Curves and gradient norms of runs, read in bounded time however long the runs were."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ablate.comparison.results import Result
from ablate.errors import bare

log = logging.getLogger(__name__)

POINTS = 120  # of a curve
COLUMNS, ROWS = 48, 40  # of a gradient map: progress of the training, depth
RUNS = 32  # of a variant, whose curves are read
GRADIENT_RUNS = 8  # of a variant, whose gradient norms are read
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


@dataclass(frozen=True)
class Gradients:
    """log10 of the gradient norms of several runs, the mean over the seeds.

    map      (ROWS, COLUMNS): depth from the image to the head, by progress of the training; NaN where nothing finite is
    depths   of the profile's layers, 0 … 1
    profile  by depth, over the whole training: mean, and the lowest and highest of the seeds
    runs     whose norms were read
    """

    map: np.ndarray
    depths: np.ndarray
    profile: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: int


def curve(results: Sequence[Result], name: str) -> Curve | None:
    """The metric's curve over the epochs, of the first runs that have ended; None where none of them has it."""
    finished: list[np.ndarray] = []
    lost: list[np.ndarray] = []
    for result in results:
        status = result.record.status
        if len(finished) + len(lost) == RUNS:
            break
        if status in ("finished", "diverged") and len(points := _points_if_whole(result.directory, name)):
            (finished if status == "finished" else lost).append(points)
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


def gradients(results: Sequence[Result]) -> Gradients | None:
    """The gradient norms of the first few runs that have any, or None. Norm layers' own parameters are left out."""
    read: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for result in results:
        path = result.directory / "gradient_norms.parquet"
        if len(read) < GRADIENT_RUNS and path.exists() and (found := _gradients_if_whole(path)) is not None:
            read.append(found)
    if not read:
        return None
    maps = np.stack([image for image, _, _ in read])
    depths = max((depths for _, depths, _ in read), key=len)
    profiles = np.stack([np.interp(depths, *_finite(own, profile)) for _, own, profile in read])
    return Gradients(_mean(maps, 0), depths, profiles.mean(0), profiles.min(0), profiles.max(0), runs=len(read))


# What reading a file raises that is damaged, or that somebody else has written.
_DAMAGED = (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError)


def _points_if_whole(directory: Path, name: str) -> np.ndarray:
    try:
        return _points(directory, name)
    except _DAMAGED as error:
        _warn(directory / "metrics.parquet", str(error))
        return np.empty((0, 2))


def _gradients_if_whole(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    try:
        return _gradients(path)
    except _DAMAGED as error:
        _warn(path, str(error))
        return None


@cache
def _warn(path: Path, error: str) -> None:
    """Once for each file."""
    log.warning("%s is damaged and left out of the drawings: %s", bare(path), bare(error))


def _points(directory: Path, name: str) -> np.ndarray:
    """(epoch, value) rows, by epoch; finite values only."""
    path = directory / "metrics.parquet"
    if not path.exists():
        return np.empty((0, 2))
    with pq.ParquetFile(path) as file:  # read_table would guess columns from folders named such as epoch=20
        table = file.read(columns=["epoch", "name", "value"])
    table = table.filter(pc.equal(table["name"].cast(pa.string()), name)).sort_by("epoch")
    rows = np.column_stack([table["epoch"].to_numpy(), table["value"].to_numpy()]).reshape(-1, 2)
    return rows[np.isfinite(rows[:, 1])]


def _gradients(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """One run's map, the depths of its layers, and its profile; None without a finite norm."""
    file = pq.ParquetFile(path)
    groups = file.num_row_groups
    if groups == 0:
        return None
    # A row group is a stretch of steps with all layers: of a long training some stretches are read, evenly spaced.
    affordable = max(1, ROWS_READ * groups // max(1, file.metadata.num_rows))
    chosen = sorted(set(np.linspace(0, groups - 1, min(groups, affordable)).round().astype(int).tolist()))
    last = int(file.read_row_group(groups - 1, columns=["step"])["step"].to_numpy().max())
    first = int(file.read_row_group(0, columns=["step"])["step"].to_numpy().min())
    sums: dict[float, np.ndarray] = {}  # by depth: sums and counts of each column
    for group in chosen:
        table = file.read_row_group(group, columns=["step", "layer", "depth", "norm"])
        norms = table["norm"].to_numpy().astype(np.float64)
        of_norm = pc.match_substring_regex(table["layer"].cast(pa.string()), r"(^|\.)norm[^.]*$").to_numpy()
        kept = ~of_norm & np.isfinite(norms) & (norms > 0)
        column = (table["step"].to_numpy()[kept] - first) * COLUMNS // (last - first + 1)
        depths, layer = np.unique(table["depth"].to_numpy()[kept], return_inverse=True)
        where = layer * COLUMNS + column
        size = len(depths) * COLUMNS
        totals = np.bincount(where, np.log10(norms[kept]), minlength=size).reshape(-1, COLUMNS)
        counts = np.bincount(where, minlength=size).reshape(-1, COLUMNS)
        for depth, total, count in zip(depths.tolist(), totals, counts, strict=True):
            sums[depth] = sums.get(depth, 0) + np.stack([total, count])
    if not sums:
        return None
    depths = np.array(sorted(sums))
    total, count = np.stack([sums[depth] for depth in depths.tolist()], axis=1)
    by_layer = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    nearest = np.abs(depths[None, :] - (np.arange(ROWS)[:, None] + 0.5) / ROWS).argmin(axis=1)
    return _filled(by_layer)[nearest], depths, _mean(by_layer, 1)


def _filled(image: np.ndarray) -> np.ndarray:
    """Columns in which no step was recorded, or read, take the one before."""
    recorded = np.flatnonzero(np.isfinite(image).any(axis=0))
    nearest = recorded[np.clip(np.searchsorted(recorded, np.arange(image.shape[1]), side="right") - 1, 0, None)]
    return image[:, nearest]


def _finite(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = np.isfinite(y)
    return x[kept], y[kept]


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of the finite ones; NaN, without a warning, where there is none."""
    finite = np.isfinite(values)
    counts = finite.sum(axis)
    sums = np.where(finite, values, 0).sum(axis)
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)
