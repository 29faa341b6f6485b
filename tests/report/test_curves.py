"""Curves and gradients over depth, of all runs of a variant."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ablate.comparison.series import COLUMNS, Curve, curve, gradients
from ablate.report.contents import contents
from ablate.report.drawing.figures import curves
from ablate.report.drawing.gradients import heat_map
from ablate.report.drawing.svg import ticks
from ablate.report.illustrations import Kind
from ablate.report.numbers import unit
from ablate.training.gradients.layers import MATRIX, NORM, Layer, described
from ablate.training.gradients.reading import Gradients, mean, profiles
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


LAYERS = {"stem.conv": 0.0, "stem.norm": 0.25, "stage1.block1.conv1": 0.5, "head.linear": 1.0}


def write_norms(directory: Path, steps: int, layers: dict[str, float], value, told: bool = True) -> None:
    """value(step, depth), the root mean square, for every step and layer; a row group for every 10 steps."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = SCHEMAS["gradient_norms"]
    if told:
        kinds = [(name, depth, 4, NORM if depth == 0.25 else MATRIX) for name, depth in layers.items()]
        schema = described(schema, [Layer(*kind) for kind in kinds])
    tables = []
    for first in range(0, steps, 10):
        rows = [
            (s, name, d, 2 * value(s, d), value(s, d)) for s in range(first, first + 10) for name, d in layers.items()
        ]
        columns = dict(zip(("step", "layer", "depth", "norm", "rms"), zip(*rows, strict=True), strict=True))
        plain = {f.name: pa.array(columns[f.name]) if f.name in columns else pa.nulls(len(rows)) for f in schema}
        tables.append(pa.table(plain).cast(schema))
    with pq.ParquetWriter(directory / "gradient_norms.parquet", schema) as writer:
        for table in tables:
            writer.write_table(table)


@pytest.mark.parametrize("told", [True, False], ids=["told", "of an older version"])
def test_gradients_are_relative_to_the_heads_and_without_norms(run, compared, told):
    directory = run(BATCH, 0, 0.9, history=False)
    # A hundredth at the image, and all of it a thousandth in the second half; what a norm layer has is left out.
    size = lambda s, d: 1e9 if d == 0.25 else 10 ** (2 * d - 2 - 3 * (s >= 100))  # noqa: E731
    write_norms(directory, 200, LAYERS, size, told)
    ((_, found),) = gradients(compared().baseline.results)
    assert [layer.name for layer in found.layers] == ["stem.conv", "stage1.block1.conv1", "head.linear"]
    assert found.relative.shape == (3, COLUMNS) and found.steps == 200 and not found.broken.any()
    np.testing.assert_allclose(found.relative, np.repeat([[-2], [-1], [0]], COLUMNS, axis=1), atol=1e-6)
    assert found.rms[:, 0] == pytest.approx([-2, -1, 0]) and found.rms[:, -1] == pytest.approx([-5, -4, -3])
    assert profiles([found])[0] == pytest.approx([-2 - 1.5, -1 - 1.5, 0 - 1.5])


def test_layers_with_other_peoples_names(run, compared):
    layers = {"patch_embed.proj": 0.0, "blocks.0.ls1": 0.25, "blocks.0.mlp.fc1": 0.5, "my_head": 1.0}
    write_norms(run(BATCH, 0, 0.9, history=False), 20, layers, lambda s, d: 1 + d)
    ((_, found),) = gradients(compared().baseline.results)
    assert [layer.name for layer in found.layers] == ["patch_embed.proj", "blocks.0.mlp.fc1", "my_head"]
    assert found.relative[:, 0] == pytest.approx(np.log10([0.5, 0.75, 1]))


def test_a_long_training_is_sampled_evenly(run, compared, monkeypatch):
    monkeypatch.setattr("ablate.comparison.series.ROWS_READ", 200)
    directory = run(BATCH, 0, 0.9, history=False)
    write_norms(directory, 2000, {"stem.conv": 0.0, "head.linear": 1.0}, lambda s, d: 10 ** (s / 2000))
    ((_, found),) = gradients(compared().baseline.results)
    assert np.isfinite(found.rms).all()
    assert (np.diff(found.rms, axis=1) >= -1e-9).all()
    assert found.rms[0, -1] - found.rms[0, 0] == pytest.approx(1, abs=0.05)


def test_what_is_not_finite_is_marked_and_a_gradient_of_0_has_vanished(run, compared):
    directory = run(BATCH, 0, 0.9, history=False)
    layers = {"stem.conv": 0.0, "stage1.conv": 0.5, "head.linear": 1.0}
    write_norms(directory, 480, layers, lambda s, d: math.inf if s >= 240 and d == 0.5 else d)
    ((_, found),) = gradients(compared().baseline.results)
    half = COLUMNS // 2
    assert found.broken[1, half:].all() and not found.broken[1, :half].any() and not found.broken[[0, 2]].any()
    assert np.isfinite(found.relative[1, :half]).all() and np.isnan(found.relative[1, half:]).all()
    assert (found.relative[0] < -20).all()


def test_runs_that_end_earlier_stand_on_the_same_steps(run, compared):
    for seed, steps in ((0, 480), (1, 240)):
        write_norms(run(BATCH, seed, 0.9, history=False), steps, LAYERS, lambda s, d, seed=seed: 10.0**-seed)
    read = [own for _, own in gradients(compared().baseline.results)]
    assert {own.steps for own in read} == {480}
    together = mean(read)
    assert together.rms[0, 0] == pytest.approx(-0.5) and together.rms[0, -1] == 0


def test_a_map_for_each_outcome_where_seeds_split(run, compared):
    for seed in range(8):
        low = seed in (1, 4, 6)
        directory = run(
            BATCH, seed, 0.1 + seed / 1000 if low else 0.9, history=False, gradient_flow="vanishing" if low else "even"
        )
        write_norms(directory, 20, LAYERS, lambda s, d, low=low: 10 ** (-3 * (1 - d) * low))
        run({"norm": "none"}, seed, 0.8 + seed / 1000, gradient_flow="even" if seed else "exploding")
    made = contents(compared())
    split, whole = ([figure for figure in made.of(Kind.MAP) if figure.series == series] for series in (0, 1))
    said = [figure.drawing.root.attrib["aria-label"].split(": ", 1)[1] for figure in (*split, *whole)]
    assert said == [
        "5 of 8 seeds with test/acc 90.00%: even",
        "3 of 8 seeds with test/acc 10.10 to 10.60%: vanishing",
        "8 seeds: exploding 1, even 7",
    ]
    assert [figure.name for figure in split] == ["gradients_0", "gradients_0_1"]
    (image,) = (e for e in split[1].drawing.root.iter("image"))
    told = json.loads(image.attrib["data-map"])
    values = np.frombuffer(base64.b64decode(told["values"]), "<i2").reshape(3, told["columns"])
    assert told["layers"] == ["stem.conv", "stage1.block1.conv1", "head.linear"] and told["steps"] == 20
    assert values[:, 0].tolist() == [-3000, -1500, 0]


def test_a_loss_that_explodes_has_an_axis_of_powers_and_no_label_is_cut():
    """1e24, which seen in steps of 2e23 would take 24 digits, and hide every other curve."""
    epochs = np.arange(4.0)
    learns = Curve(epochs, *(np.array([2.3, 1.0, 0.5, 0.2]) * factor for factor in (1.0, 0.9, 1.1)), lost=[])
    explodes = Curve(np.array([]), *[np.array([])] * 3, lost=[(epochs[:3], np.array([2.3, 1e9, 1e24]))])
    drawn = curves("train/loss", {0: learns, 1: explodes}, ["learns", "explodes"], unit("train/loss"))
    labels = [text.text or "" for text in drawn.root.iter("text")]
    powers = [label for label in labels if label.startswith("10")]
    assert len(powers) >= 4 and "10²²" in powers and all(len(label) <= 12 for label in labels), labels
    plain = curves("train/loss", {0: learns}, ["learns"], unit("train/loss"))
    assert "2" in [text.text for text in plain.root.iter("text")], "a usual loss is drawn as it is"
    assert ticks(0, 3e24, 3)[1][1] == "1·10²⁴" and ticks(0, 3_000_000, 3)[1][1] == "1,000,000"


def test_what_is_written_below_a_maps_profile_ends_within_the_figure():
    layers = tuple(Layer(f"l{i}", i / 3, 100, MATRIX) for i in range(4))
    values = np.zeros((4, 6))
    drawing = heat_map("a", "even", Gradients(layers, values, values, values.astype(bool), 60))
    for text in drawing.root.iter("text"):
        x, width = float(text.get("x", "0")), 0.55 * float(text.get("font-size", "12")) * len(text.text or "")
        left = x - width * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor", "start")]
        assert left + width <= drawing.width + 1, text.text
