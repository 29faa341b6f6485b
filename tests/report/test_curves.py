"""Curves and gradients over depth, of all runs of a variant."""

import math
from pathlib import Path

import numpy as np
import pytest

from ablate.comparison.series import COLUMNS, ROWS, curve, gradients
from ablate.training.saving.history import SCHEMAS

BATCH = {"norm": "batch"}


def test_curves_are_means_with_bands_and_lost_ones_apart(run, compared):
    run(BATCH, 0, 0.8, epochs=4)
    run(BATCH, 1, 0.9, epochs=4)
    run(BATCH, 2, 0.7, epochs=2, status="diverged", diverged_at=20)
    found = curve(compared().baseline.results, "val/acc")
    last = 1 - math.exp(-3)
    assert found.epochs.tolist() == [0, 1, 2, 3]
    assert (found.low[-1], found.mean[-1], found.high[-1]) == pytest.approx((0.8 * last, 0.85 * last, 0.9 * last))
    assert [len(xs) for xs, _ in found.lost] == [2]
    assert curve(compared().baseline.results, "test/nothing") is None


def write_norms(directory: Path, steps: int, layers: dict[str, float], value) -> None:
    """value(step, depth) for every step and layer; a row group for every 10 steps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = SCHEMAS["gradient_norms"]
    tables = []
    for first in range(0, steps, 10):
        rows = [(s, name, d, value(s, d)) for s in range(first, first + 10) for name, d in layers.items()]
        columns = dict(zip(("step", "layer", "depth", "norm"), zip(*rows, strict=True), strict=True))
        plain = {f.name: pa.array(columns[f.name]) if f.name in columns else pa.nulls(len(rows)) for f in schema}
        tables.append(pa.table(plain).cast(schema))
    with pq.ParquetWriter(directory / "gradient_norms.parquet", schema) as writer:
        for table in tables:
            writer.write_table(table)


def test_gradients_are_geometric_means_on_a_shared_depth(run, compared):
    layers = {"stem.conv": 0.0, "stem.norm": 0.25, "stage1.block1.conv1": 0.5, "head.linear": 1.0}
    directory = run(BATCH, 0, 0.9, history=False)
    # A hundredth at the image, and a thousandth of that in the second half; what a norm layer has is left out.
    write_norms(directory, 200, layers, lambda s, d: 1e9 if d == 0.25 else 10 ** (2 * d - 2 - 3 * (s >= 100)))
    found = gradients(compared().baseline.results)
    assert found.map.shape == (ROWS, COLUMNS)
    assert found.depths.tolist() == [0, 0.5, 1]
    assert found.map[0, 0] == pytest.approx(-2) and found.map[-1, -1] == pytest.approx(-3)
    assert found.map[ROWS // 2, 0] == pytest.approx(-1)
    assert found.profile == pytest.approx([-2 - 1.5, -1 - 1.5, 0 - 1.5])


def test_a_long_training_is_sampled_evenly(run, compared, monkeypatch):
    monkeypatch.setattr("ablate.comparison.series.ROWS_READ", 200)
    directory = run(BATCH, 0, 0.9, history=False)
    write_norms(directory, 2000, {"stem.conv": 0.0, "head.linear": 1.0}, lambda s, d: 10 ** (s / 2000))
    found = gradients(compared().baseline.results)
    assert np.isfinite(found.map).all()
    assert (np.diff(found.map, axis=1) >= -1e-9).all()
    assert found.map[0, -1] - found.map[0, 0] == pytest.approx(1, abs=0.05)


def test_norms_that_are_not_finite_or_zero_are_no_colour(run, compared):
    directory = run(BATCH, 0, 0.9, history=False)
    write_norms(directory, 100, {"stem.conv": 0.0, "head.linear": 1.0}, lambda s, d: math.inf if s > 50 else d)
    found = gradients(compared().baseline.results)
    assert found.depths.tolist() == [1]
    assert np.isfinite(found.map).all()
