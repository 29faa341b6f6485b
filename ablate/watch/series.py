"""A run's loss and metric over the steps, in a bounded number of points, however long the run is."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

POINTS = 128  # of a curve, at least half as many where there are as many values
LOSS = "train/loss_step"

Points = list[tuple[float, float]]


class Thinned:
    """Means over stretches of equally many steps, which double in length when there are too many."""

    def __init__(self) -> None:
        self.width = 1
        self._sums = np.zeros((3, POINTS))  # of values, of steps, and how many there are

    def add(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Values that are not finite are left out."""
        known = np.isfinite(values)
        steps, values = steps[known], values[known]
        if not len(steps):
            return
        while steps.max() >= self.width * POINTS:
            halves = self._sums.reshape(3, POINTS // 2, 2).sum(2)
            self._sums = np.concatenate([halves, np.zeros_like(halves)], axis=1)
            self.width *= 2
        where = steps // self.width
        for row, of in zip(self._sums, (values, steps.astype(float), np.ones(len(steps))), strict=True):
            row += np.bincount(where, of, POINTS)

    def points(self) -> Points:
        """(step, value), both means of their stretch."""
        values, steps, counts = self._sums[:, self._sums[2] > 0]
        pairs = zip(steps / counts, values / counts, strict=True)
        return [(float(f"{step:.7g}"), float(f"{value:.5g}")) for step, value in pairs]


class Series:
    """What a run's metrics.parquet says, or its parts as long as it runs; parts that come later are read alone.

    loss, metric  curves over the optimizer steps
    last          the metric's last value; None where there is none that is finite
    """

    def __init__(self, directory: Path, metric: str) -> None:
        self.directory, self._name = directory, metric
        self._forget()

    def _forget(self) -> None:
        self.loss, self.metric = Thinned(), Thinned()
        self.last: float | None = None
        self._steps = self._of_first_epoch = 0
        self._is_first_epoch = True
        self._read: dict[Path, tuple[int, int]] = {}

    def update(self) -> None:
        """Read what is new. Raises what pyarrow raises where a file is damaged, and FileNotFoundError for one that
        went away meanwhile."""
        files = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in history(self.directory, "metrics")}
        if any(files.get(path) != stamp for path, stamp in self._read.items()):
            self._forget()  # a resumed run has cut them, or the end has joined them
        for path in sorted(files.keys() - self._read.keys()):
            self._add(path)
            self._read[path] = files[path]

    def done(self, epochs: int) -> float | None:
        """The share of so many epochs' steps that has been trained; None in the first epoch."""
        return None if self._is_first_epoch else min(1.0, self._steps / (self._of_first_epoch * epochs))

    def _add(self, path: Path) -> None:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=["step", "epoch", "name", "value"])
        if not table.num_rows:
            return
        names = np.asarray(table["name"].cast(pa.string()).to_pylist())
        step, epoch, value = (table[name].to_numpy() for name in ("step", "epoch", "value"))
        self.loss.add(step[names == LOSS], value[names == LOSS])
        own = names == self._name
        self.metric.add(step[own], value[own])
        if (finite := value[own & np.isfinite(value)]).size:
            self.last = float(finite[-1])
        self._steps = max(self._steps, int(step.max()) + 1)
        if (epoch == 0).any():
            self._of_first_epoch = max(self._of_first_epoch, int(step[epoch == 0].max()) + 1)
        self._is_first_epoch = self._of_first_epoch == 0 or (self._is_first_epoch and not (epoch > 0).any())


def history(directory: Path, kind: str) -> list[Path]:
    """The files that hold a run's metrics, or gradient_norms: the joined one, or the parts in their order."""
    joined = directory / f"{kind}.parquet"
    return [joined] if joined.exists() else sorted((directory / "parts").glob(f"{kind}-*.parquet"))
