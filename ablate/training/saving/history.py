"""Writes a run's numbers: metrics.parquet and gradient_norms.parquet.

During the run each is a series of parts, one file per flush. A resumed run cuts the parts back to its checkpoint. At
the end they are joined.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ablate.training.gradients.layers import Layer, described
from ablate.training.saving.staging import Staging

NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMAS = {
    "metrics": pa.schema(
        [("step", pa.int64()), ("epoch", pa.int32()), ("name", NAME), ("value", pa.float64())],
    ),
    "gradient_norms": pa.schema(
        [
            *(("step", pa.int64()), ("layer", NAME), ("depth", pa.float32())),
            *((name, pa.float32()) for name in ("norm", "rms", "clipped", "weight", "update")),
        ],
    ),
}
# At most this many rows of gradient norms (about 20 MB) are kept in memory before a part is written.
PENDING_ROWS = 500_000


class RunHistory(Logger):
    """A Lightning logger that writes long-form Parquet files into a run's directory.

    metrics         step, epoch, name, value
    gradient_norms  step, layer, depth (0 at the image, 1 at the head), and for the layer
        norm     L2 norm of its gradient
        rms      that norm divided by the square root of the layer's size
        clipped  the norm after clipping; null without clipping
        weight   L2 norm of its weights before the step; null if it was not measured
        update   L2 norm of the step's change, divided by `weight`; null if it was not measured

    `step` counts optimizer steps from 0. A metric of an epoch has the epoch's last step. Values that are not finite are
    stored as they are.

    layers  the layers whose norms are logged; their sizes and kinds are stored in the files' metadata
    """

    def __init__(self, directory: Path, staging: Staging | None = None, layers: Sequence[Layer] = ()) -> None:
        super().__init__()
        self.directory = directory
        self.staging = staging or Staging(directory)
        self.schemas = SCHEMAS | {"gradient_norms": described(SCHEMAS["gradient_norms"], layers)}
        self.parts = directory / "parts"
        self.rows = dict.fromkeys(SCHEMAS, 0)  # the number of rows in the parts
        self._rows: list[tuple[int, int, str, float]] = []
        self._norms: list[pa.Table] = []

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return self.directory.name

    @property
    @rank_zero_experiment
    def experiment(self) -> "RunHistory":
        return self

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        epoch = int(metrics.get("epoch", 0))
        self._rows += [
            (int(step or 0), epoch, name, float(value)) for name, value in metrics.items() if name != "epoch"
        ]

    @rank_zero_only
    def log_gradient_norms(
        self,
        steps: Sequence[int],
        layers: Sequence[str],
        depths: Sequence[float],
        norms: np.ndarray,
        others: dict[str, np.ma.MaskedArray],
    ) -> None:
        """norms: (steps, layers). A negative one means that the layer has no gradient; it gets no row.

        others: the other columns by name, of the same shape. Masked values, and missing columns, become null.
        """
        present = norms.ravel() >= 0
        present |= np.isnan(norms.ravel())
        columns = {
            "step": pa.array(np.repeat(np.asarray(steps, dtype=np.int64), len(layers))),
            "layer": pa.DictionaryArray.from_arrays(
                pa.array(np.tile(np.arange(len(layers), dtype=np.int32), len(steps))),
                pa.array(layers, pa.string()),
            ),
            "depth": pa.array(np.tile(np.asarray(depths, dtype=np.float32), len(steps))),
            "norm": pa.array(norms.ravel().astype(np.float32)),
        }
        for name, values in others.items():
            mask = np.ma.getmaskarray(values).ravel()
            columns[name] = pa.array(np.ma.getdata(values).ravel().astype(np.float32), mask=mask)
        schema = SCHEMAS["gradient_norms"]
        rows = len(present)
        table = pa.table([columns.get(field.name, pa.nulls(rows, field.type)) for field in schema], schema=schema)
        self._norms.append(table.filter(pa.array(present)))
        if sum(table.num_rows for table in self._norms) >= PENDING_ROWS:
            self._save_norms()

    @rank_zero_only
    def save(self) -> None:
        """Write what has been logged since the last call to a new part."""
        if self._rows:
            columns = list(zip(*self._rows, strict=True))
            arrays = [
                pa.array(c, f.type if f.type != NAME else pa.string())
                for c, f in zip(columns, SCHEMAS["metrics"], strict=True)
            ]
            arrays[2] = arrays[2].dictionary_encode()
            self._write_part("metrics", [pa.Table.from_arrays(arrays, schema=SCHEMAS["metrics"])])
            self.rows["metrics"] += len(self._rows)
            self._rows.clear()
        self._save_norms()

    @rank_zero_only
    def cut(self, step: int, joined: bool = False) -> None:
        """Delete the rows of `step` and later, because the run resumes there.

        joined  take the rows from the two joined files, which become parts again
        """
        if joined:
            self.staging.remove(self.parts)
            for kind in SCHEMAS:
                self._write_part(kind, cut_to(step, [self.joined(kind)]))
            for kind in SCHEMAS:
                self.staging.remove(self.joined(kind))
        for kind in SCHEMAS:
            for part in self.parts_of(kind):
                before, kept = rows_in(part), rows_in(part, step)
                if not kept:  # none, or it cannot be read; `resume` has checked that the checkpoint does not need it
                    self.staging.remove(part)
                elif kept != before:
                    self._write(part, kind, cut_to(step, [part]))
                self.rows[kind] += kept or 0

    @rank_zero_only
    def join(self) -> None:
        """Join the parts into the run's two files. The parts stay until `discard_parts`."""
        self.save()
        for kind, schema in SCHEMAS.items():
            self._write(self.joined(kind), kind, (read(part, schema=schema) for part in self.parts_of(kind)))

    def last_values(self) -> dict[str, float]:
        """Every metric's last value, by name. Call it after `join`."""
        table = read(self.joined("metrics"))
        table = table.set_column(2, "name", table["name"].cast(pa.string()))  # the parts have different dictionaries
        last = table.group_by("name", use_threads=False).aggregate([("value", "last")])
        return dict(zip(last["name"].to_pylist(), last["value_last"].to_pylist(), strict=True))

    def outer_norms(self) -> dict[str, float]:
        """The gradient norms of the first and the last layer at the last recorded step, by layer; may be empty."""
        table = last_steps(self.directory / "gradient_norms.parquet", 1)
        if table.num_rows == 0:
            return {}
        rows = table.sort_by("depth").to_pylist()
        return {row["layer"]: row["norm"] for row in (rows[0], rows[-1])}

    @rank_zero_only
    def discard_parts(self) -> None:
        self.staging.remove(self.parts)

    def _save_norms(self) -> None:
        if self._norms:
            self._write_part("gradient_norms", self._norms)
            self.rows["gradient_norms"] += sum(table.num_rows for table in self._norms)
            self._norms.clear()

    def parts_of(self, kind: str) -> list[Path]:
        """The parts that have been written so far, in order."""
        return sorted(self.parts.glob(f"{kind}-*.parquet"))

    def joined(self, kind: str) -> Path:
        """The path of the joined file."""
        return self.directory / f"{kind}.parquet"

    def _write_part(self, kind: str, tables: Iterable[pa.Table]) -> None:
        self.staging.make(self.parts)
        last = self.parts_of(kind)[-1:]
        number = int(last[0].stem.rsplit("-", 1)[1]) + 1 if last else 0
        self._write(self.parts / f"{kind}-{number:08d}.parquet", kind, tables)

    def _write(self, path: Path, kind: str, tables: Iterable[pa.Table]) -> None:
        """Write `tables` to a Parquet file with page checksums, which appears whole or not at all."""

        def write(unfinished: Path) -> None:
            with pq.ParquetWriter(
                unfinished, self.schemas[kind], compression="zstd", write_page_checksum=True
            ) as writer:
                for table in tables:
                    writer.write_table(table)

        self.staging.replace(path, write)


def read(path: Path, **how: Any) -> pa.Table:
    """Read a Parquet file. pyarrow must not add columns for folder names such as `epoch=20`, hence partitioning=None.

    Raises ArrowException or OSError if the file is damaged.
    """
    return pq.read_table(path, partitioning=None, page_checksum_verification=True, **how)


def rows_in(path: Path, before: int | None = None) -> int | None:
    """How many rows a Parquet file has, with `before` only of earlier steps; None if it is damaged or missing."""
    try:
        return sum(table.num_rows for table in (_groups(path) if before is None else cut_to(before, [path])))
    except (pa.ArrowException, OSError):
        return None


def cut_to(step: int, paths: Iterable[Path]) -> Iterator[pa.Table]:
    """The rows of steps before `step` in the files, one row group at a time."""
    for path in paths:
        for table in _groups(path):
            yield table.filter(pc.less(table["step"], step))


def _groups(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def first_steps(path: Path, count: int) -> pa.Table:
    """The rows of a gradient_norms.parquet's first `count` recorded steps. Reads only the row groups it needs."""
    file = pq.ParquetFile(path)
    table, steps = file.schema_arrow.empty_table(), np.array([], dtype=np.int64)
    for group in range(file.num_row_groups):
        table = pa.concat_tables([table, file.read_row_group(group)])
        steps = np.unique(table["step"].to_numpy())
        if len(steps) > count:  # one more, because the last step's rows may continue in the next row group
            break
    return table.filter(pc.less_equal(table["step"], int(steps[:count][-1]))) if len(steps) else table


def last_steps(path: Path, count: int) -> pa.Table:
    """The rows of a gradient_norms.parquet's last `count` recorded steps. Reads only the row groups it needs."""
    file = pq.ParquetFile(path)
    table, steps = file.schema_arrow.empty_table(), np.array([], dtype=np.int64)
    for group in reversed(range(file.num_row_groups)):
        table = pa.concat_tables([file.read_row_group(group), table])
        steps = np.unique(table["step"].to_numpy())
        if len(steps) > count:  # one more, because the first step's rows may begin in the row group before
            break
    return table.filter(pc.greater_equal(table["step"], int(steps[-count:][0]))) if len(steps) else table


def logged(files: Iterable[Path]) -> Iterator[dict[str, float]]:
    """A run's metrics as they are logged to W&B: for each step, by name, with `epoch` and `trainer/global_step`."""
    table = pa.concat_tables(read(file) for file in files)
    rows = sorted(table.to_pylist(), key=lambda row: (row["step"], row["epoch"]))
    for (step, epoch), group in groupby(rows, key=lambda row: (row["step"], row["epoch"])):
        yield {row["name"]: row["value"] for row in group} | {"epoch": epoch, "trainer/global_step": step}
