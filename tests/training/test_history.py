"""The two Parquet files of a run: what is logged comes back row by row, however the run was cut up."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ablate.runs import cell, record
from ablate.training.saving.history import RunHistory

LAYERS, DEPTHS = ["stem.conv", "stage1.block1.conv1", "head.linear"], [0.0, 0.5, 1.0]


def log_steps(history: RunHistory, steps: range) -> None:
    """Two metrics and three layers' norms a step; each value tells its step."""
    for step in steps:
        history.log_metrics({"lr": step + 0.1, "train/loss_step": step + 0.2, "epoch": step // 10}, step)
    norms = np.array([[step + 0.5, step + 0.25, step + 0.75] for step in steps])
    weights = np.ma.array(norms + 100, mask=[[step % 2] * 3 for step in steps])  # measured at every second step
    history.log_gradient_norms(list(steps), LAYERS, DEPTHS, norms, {"rms": norms / 4, "weight": weights})


def rows(path: Path) -> list[tuple]:
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def metrics_of(steps: range) -> list[tuple]:
    return [
        row
        for step in steps
        for row in ((step, step // 10, "lr", step + 0.1), (step, step // 10, "train/loss_step", step + 0.2))
    ]


def norms_of(steps: range) -> list[tuple]:
    values = (0.5, 0.25, 0.75)
    return [
        (step, layer, depth, n := step + value, n / 4, None, None if step % 2 else n + 100, None)
        for step in steps
        for layer, depth, value in zip(LAYERS, DEPTHS, values, strict=True)
    ]


def assert_holds(directory: Path, steps: range) -> None:
    assert rows(directory / "metrics.parquet") == metrics_of(steps)
    assert rows(directory / "gradient_norms.parquet") == norms_of(steps)


@pytest.fixture
def history(tmp_path: Path) -> RunHistory:
    return RunHistory(tmp_path)


def test_the_files_are_long_form_with_the_declared_types(history, tmp_path):
    log_steps(history, range(25))
    history.join()
    assert_holds(tmp_path, range(25))
    name = pa.dictionary(pa.int32(), pa.string())
    assert pq.read_schema(tmp_path / "metrics.parquet").equals(
        pa.schema([("step", pa.int64()), ("epoch", pa.int32()), ("name", name), ("value", pa.float64())])
    )
    assert pq.read_schema(tmp_path / "gradient_norms.parquet").equals(
        pa.schema(
            [("step", pa.int64()), ("layer", name), ("depth", pa.float32())]
            + [(column, pa.float32()) for column in ("norm", "rms", "clipped", "weight", "update")]
        )
    )


def test_a_run_that_logged_nothing_leaves_two_empty_files(history, tmp_path):
    history.join()
    assert rows(tmp_path / "metrics.parquet") == rows(tmp_path / "gradient_norms.parquet") == []
    assert history.last_values() == {} and history.outer_norms() == {}


@pytest.mark.parametrize("flushes", [[5], [1, 5, 9], list(range(1, 12)), [3, 3, 3]])
def test_parts_are_joined_in_order(history, tmp_path, flushes):
    start = 0
    for stop in flushes:
        log_steps(history, range(start, stop))
        history.save()
        start = stop
    log_steps(history, range(start, 12))
    history.join()
    assert_holds(tmp_path, range(12))


def test_parts_stay_in_order_beyond_nine(history, tmp_path):
    for step in range(123):
        log_steps(history, range(step, step + 1))
        history.save()
    assert len(list(history.parts.glob("metrics-*"))) == 123
    history.join()
    assert_holds(tmp_path, range(123))


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 8, 9, 50])
def test_a_cut_forgets_its_step_and_all_later_ones(history, tmp_path, cut):
    for start in (0, 4, 8):
        log_steps(history, range(start, start + 4))
        history.save()
    resumed = RunHistory(tmp_path)
    resumed.cut(cut)
    resumed.cut(cut)  # a second crash before anything new
    log_steps(resumed, range(min(cut, 12), 15))
    resumed.save()
    resumed.join()
    assert_holds(tmp_path, range(15))


def test_a_crash_after_the_join_leaves_the_parts_to_go_on_from(history, tmp_path):
    log_steps(history, range(10))
    history.save()
    log_steps(history, range(10, 14))
    history.join()  # and the process dies here
    resumed = RunHistory(tmp_path)
    resumed.cut(12)
    log_steps(resumed, range(12, 20))
    resumed.join()
    assert_holds(tmp_path, range(20))
    resumed.join()
    assert_holds(tmp_path, range(20))
    resumed.discard_parts()
    resumed.discard_parts()
    assert not resumed.parts.exists()
    assert_holds(tmp_path, range(20))


def test_a_crash_within_a_write_leaves_what_was_there(history, tmp_path, monkeypatch):
    log_steps(history, range(3))
    history.save()
    history.join()
    whole = sorted(tmp_path.rglob("*.parquet"))
    log_steps(history, range(3, 6))

    def full_disk(self: pq.ParquetWriter, table: pa.Table) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full_disk)
        with pytest.raises(OSError, match="no space"):
            history.save()
    assert sorted(tmp_path.rglob("*.parquet")) == whole
    assert_holds(tmp_path, range(3))
    resumed = RunHistory(tmp_path)
    resumed.cut(3)
    log_steps(resumed, range(3, 6))
    resumed.join()
    assert_holds(tmp_path, range(6))


def test_values_that_are_not_finite_are_kept(history, tmp_path):
    odd = [math.nan, math.inf, -math.inf]
    for step, value in enumerate(odd):
        history.log_metrics({"train/loss_step": value, "epoch": 0}, step)
    history.save()
    history.cut(3)
    history.log_gradient_norms([0], LAYERS, DEPTHS, np.array([[math.nan, math.inf, 0.0]]), {})
    history.join()
    np.testing.assert_equal([value for *_, value in rows(tmp_path / "metrics.parquet")], odd)
    np.testing.assert_equal([row[3] for row in rows(tmp_path / "gradient_norms.parquet")], [math.nan, math.inf, 0])
    assert history.last_values()["train/loss_step"] == -math.inf


def test_a_layer_without_a_gradient_has_no_row(history, tmp_path):
    history.log_gradient_norms([7, 8], LAYERS, DEPTHS, np.array([[-1.0, 2.0, 3.0], [4.0, -1.0, -1.0]]), {})
    history.join()
    expected = [(7, LAYERS[1], 0.5, 2.0), (7, LAYERS[2], 1.0, 3.0), (8, LAYERS[0], 0.0, 4.0)]
    assert [row[:4] for row in rows(tmp_path / "gradient_norms.parquet")] == expected
    assert history.outer_norms() == {LAYERS[0]: 4.0}


def test_the_last_values_are_those_of_the_last_part(history):
    for start in (0, 5):
        log_steps(history, range(start, start + 5))
        history.log_metrics({f"only/{start}": 1.0, "epoch": 0}, start)
        history.save()
    history.join()
    assert history.last_values() == {"lr": 9.1, "train/loss_step": 9.2, "only/0": 1.0, "only/5": 1.0}
    assert history.outer_norms() == {"stem.conv": 9.5, "head.linear": 9.75}


def sorted_rows(chosen: cell.Cell, name: str) -> list[tuple]:
    return sorted(rows(chosen.directory / f"{name}.parquet"))


def test_a_finished_run_leaves_no_parts_and_an_epochs_metrics_bear_its_last_step(prepared):
    chosen = prepared("trainer.max_epochs=2")
    cell.run(chosen)
    assert not (chosen.directory / "parts").exists()
    assert not list(chosen.directory.rglob("*.tmp"))
    epochs = [(step, epoch, name) for step, epoch, name, _ in sorted_rows(chosen, "metrics") if name == "train/acc"]
    assert epochs == [(9, 0, "train/acc"), (19, 1, "train/acc")]
    validated = [(step, epoch) for step, epoch, name, _ in sorted_rows(chosen, "metrics") if name == "val/acc"]
    assert validated == [(9, 0), (19, 1)]


@pytest.mark.parametrize("moment", ["join", "discard_parts"])
def test_a_run_that_dies_around_the_join_ends_with_the_numbers_of_another(prepared, monkeypatch, moment):
    whole, broken = (prepared("trainer.max_epochs=2", runs=runs) for runs in ("whole", "broken"))
    cell.run(whole)
    original = getattr(RunHistory, moment)

    def dies(self: RunHistory) -> None:
        if moment == "discard_parts" and not self.parts.exists():
            return original(self)  # a fresh run has none to discard
        if moment == "join":
            original(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunHistory, moment, dies)
        with pytest.raises(KeyboardInterrupt):
            cell.run(broken)
    assert record.read(broken.directory).status == ("interrupted" if moment == "join" else "finished")
    result, again = cell.run(broken)
    assert again == (moment == "join") and result.status == "finished"
    for name in ("metrics", "gradient_norms"):
        assert sorted_rows(broken, name) == sorted_rows(whole, name) != []
    assert result.summary == record.read(whole.directory).summary
