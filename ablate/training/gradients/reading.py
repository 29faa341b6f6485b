"""Reads a run's gradient_norms.parquet, or the parts of an unfinished one, as arrays (layers, columns of steps).

Everything that draws gradients uses this: the run's own pictures, `ablate flow` and the report's page.
"""

import math
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ablate.training.gradients.layers import MATRIX, NORM, Layer, layers_in

FLOOR = 1e-30  # replaces a gradient of exactly 0 in a logarithm
# Files of older versions do not describe layers. In their networks norm layers have such names.
_NORM_OF_OLD = re.compile(r"(^|\.)norm[^.]*$")

Group = tuple[pq.ParquetFile, int]


@dataclass(frozen=True)
class Gradients:
    """The size of the gradient of each layer with a matrix or a kernel, over the training.

    layers    from the image to the head; the last one is the head
    rms       (layers, columns): log10 of the RMS, averaged over the column's steps; NaN if none is finite
    relative  (layers, columns): the same for the RMS divided by the head's RMS at the same step
    broken    (layers, columns): whether the layer's or the head's gradient was not finite at one of the steps
    steps     the number of steps, from 0, which the columns divide evenly
    """

    layers: tuple[Layer, ...]
    rms: np.ndarray
    relative: np.ndarray
    broken: np.ndarray
    steps: int

    def span(self, column: int) -> tuple[int, int]:
        """The first and the last step of a column."""
        edges = np.ceil(np.linspace(0, self.steps, self.rms.shape[1] + 1)).astype(int)
        return int(edges[column]), max(int(edges[column]), int(edges[column + 1]) - 1)

    def label(self, column: int) -> str:
        """The steps of a column, in words."""
        first, last = self.span(column)
        return f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"


def last_step(path: Path) -> int | None:
    """The last recorded step of a gradient_norms.parquet; None if there is none."""
    with pq.ParquetFile(path) as file:
        return _last(_filled_groups([file]))


def read(files: Sequence[Path], columns: int, *, steps: int | None = None, rows: float = math.inf) -> Gradients | None:
    """Read a gradient_norms.parquet, or its parts in order, into at most `columns` columns.

    steps  the number of steps that the columns span; by default, as many as were recorded
    rows   the most rows to read; in a longer file, evenly spaced row groups are read

    None if no layer with a matrix or a kernel has a gradient. At most one row group is in memory. Raises what pyarrow
    raises for a damaged file, and KeyError, TypeError or ValueError for one with other content.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(pq.ParquetFile(file, page_checksum_verification=True)) for file in files]
        groups = _filled_groups(readers)
        last = _last(groups)
        if last is None:
            return None
        sampled = _sampled(groups, rows)
        layers = next((found for reader in readers if (found := layers_in(reader.schema_arrow))), None) or _inferred(
            sampled
        )
        shown = tuple(layer for layer in layers if layer.kind == MATRIX)
        if not shown:
            return None
        steps = steps or last + 1
        sums = _Sums(shown, min(columns, steps), steps)
        for reader, group in sampled:
            sums.add(reader, group)
    return sums.gradients()


class _Sums:
    """Sums over row groups, for each layer and column."""

    def __init__(self, layers: tuple[Layer, ...], columns: int, steps: int) -> None:
        self.layers, self.columns, self.steps = layers, columns, steps
        self._position = {layer.name: i for i, layer in enumerate(layers)}
        shape = len(layers) * columns
        self._rms, self._relative = np.zeros((2, 2, shape))  # sums and counts
        self._broken = np.zeros(shape, dtype=bool)
        self._seen = np.zeros(columns, dtype=bool)

    def add(self, reader: pq.ParquetFile, group: int) -> None:
        table = reader.read_row_group(group, columns=["step", "layer", "rms"])
        names = table["layer"].combine_chunks()
        position = np.array([self._position.get(name, -1) for name in names.dictionary.to_pylist()], dtype=int)
        layer, step = position[names.indices.to_numpy()], table["step"].to_numpy()
        kept = (layer >= 0) & (step < self.steps) & table["rms"].is_valid().to_numpy()
        layer, step, rms = layer[kept], step[kept], table["rms"].to_numpy()[kept].astype(float)
        finite, is_head = np.isfinite(rms), layer == len(self.layers) - 1
        logs = np.log10(np.where(finite, np.maximum(rms, FLOOR), np.nan))
        distinct, row = np.unique(step, return_inverse=True)
        head, head_is_broken = np.full(len(distinct), np.nan), np.zeros(len(distinct), dtype=bool)
        head[row[is_head]] = logs[is_head]
        head_is_broken[row[is_head & ~finite]] = True
        column = step * self.columns // self.steps
        cell = layer * self.columns + column
        for total, values in ((self._rms, logs), (self._relative, logs - head[row])):
            known = np.isfinite(values)
            total += [np.bincount(cell[known], of, self._broken.size) for of in (values[known], np.ones(known.sum()))]
        self._broken[cell[~finite | head_is_broken[row]]] = True
        self._seen[column] = True

    def gradients(self) -> Gradients:
        shape = len(self.layers), self.columns
        # A column of which no step was read gets the values of the one before.
        nearest = np.maximum.accumulate(np.where(self._seen, np.arange(self.columns), 0))
        means = [
            np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
            for sums, counts in (self._rms, self._relative)
        ]
        rms, relative, broken = (array.reshape(shape)[:, nearest] for array in (*means, self._broken))
        ended = np.arange(self.columns) > (np.flatnonzero(self._seen).max() if self._seen.any() else -1)
        rms[:, ended] = relative[:, ended] = np.nan
        broken[:, ended] = False
        return Gradients(self.layers, rms, relative, broken, self.steps)


def mean(several: Sequence[Gradients]) -> Gradients:
    """The mean of several runs: of the logarithms, over the runs that have a number; broken if one of them is.

    The layers are those of the first run; layers of other runs are matched by name. All runs must have the same
    columns.
    """
    first, rows = several[0], [_rows(one, several[0].layers) for one in several]
    rms, relative = (
        finite_mean(np.stack([_picked(getattr(one, name), row) for one, row in zip(several, rows, strict=True)]))
        for name in ("rms", "relative")
    )
    broken = np.stack([_picked(one.broken, row) == 1 for one, row in zip(several, rows, strict=True)])
    return Gradients(first.layers, rms, relative, np.any(broken, axis=0), first.steps)


def profiles(several: Sequence[Gradients]) -> np.ndarray:
    """(runs, layers): log10 of each run's RMS, averaged over its columns; the layers are those of the first run."""
    return np.stack(
        [_picked(finite_mean(one.rms, axis=1)[:, None], _rows(one, several[0].layers))[:, 0] for one in several]
    )


def thinned(gradients: Gradients, most: int) -> Gradients:
    """At most `most` of the layers, evenly spaced, with the first and the last one."""
    if len(gradients.layers) <= most:
        return gradients
    kept = np.linspace(0, len(gradients.layers) - 1, most).round().astype(int)
    layers = tuple(gradients.layers[i] for i in kept)
    return replace(
        gradients,
        layers=layers,
        rms=gradients.rms[kept],
        relative=gradients.relative[kept],
        broken=gradients.broken[kept],
    )


def finite_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """The mean of the finite values; NaN, without a warning, if there are none."""
    finite = np.isfinite(values)
    counts = finite.sum(axis)
    sums = np.where(finite, values, 0).sum(axis)
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)


def _rows(one: Gradients, layers: Sequence[Layer]) -> list[int | None]:
    """The position of each of the layers in `one`, by name."""
    place = {layer.name: i for i, layer in enumerate(one.layers)}
    return [place.get(layer.name) for layer in layers]


def _picked(values: np.ndarray, rows: Sequence[int | None]) -> np.ndarray:
    """These rows of `values`; NaN for a row that is None."""
    return np.stack([np.full(values.shape[1], np.nan) if row is None else values[row] for row in rows])


def _filled_groups(readers: Sequence[pq.ParquetFile]) -> list[Group]:
    groups = [(reader, group) for reader in readers for group in range(reader.num_row_groups)]
    return [(reader, group) for reader, group in groups if reader.metadata.row_group(group).num_rows]


def _last(groups: Sequence[Group]) -> int | None:
    return int(_steps(groups[-1]).max()) if groups else None


def _sampled(groups: Sequence[Group], rows: float) -> list[Group]:
    """All row groups, or as many as `rows` allows, evenly spaced. Each has some consecutive steps of all layers."""
    there = sum(reader.metadata.row_group(group).num_rows for reader, group in groups)
    affordable = max(1, int(min(1, rows / there) * len(groups)))
    chosen = np.linspace(0, len(groups) - 1, affordable).round().astype(int)
    return [groups[i] for i in dict.fromkeys(chosen.tolist())]


def _steps(group: Group) -> np.ndarray:
    reader, number = group
    return reader.read_row_group(number, columns=["step"])["step"].to_numpy()


def _inferred(groups: Sequence[Group]) -> list[Layer]:
    """The layers of a file that does not describe them. Their sizes are unknown: 0."""
    depths: dict[str, float] = {}
    for reader, group in groups:
        table = reader.read_row_group(group, columns=["layer", "depth"])
        names = table["layer"].combine_chunks()
        known, first = np.unique(names.indices.to_numpy(), return_index=True)
        words, here = names.dictionary.to_pylist(), table["depth"].to_numpy()[first]
        depths.update({words[i]: float(depth) for i, depth in zip(known, here, strict=True)})
    ordered = sorted(depths, key=depths.__getitem__)
    return [Layer(name, depths[name], 0, NORM if _NORM_OF_OLD.search(name) else MATRIX) for name in ordered]
