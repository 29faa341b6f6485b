"""What the page is told of runs, from their directories alone."""

import pytest

from ablate.errors import InputError
from ablate.watch.run import WatchedRun
from ablate.watch.series import POINTS, Series, Thinned
from ablate.watch.state import Watched
from ablate.watch.study import OfFolders


@pytest.fixture
def clock():
    """Each look is later than the last: none is saved."""
    return iter(range(0, 100_000, 10)).__next__


def test_every_status_is_told_by_variant_and_seed(halfway, clock):
    state = Watched(halfway.study, clock).overview()
    baseline, none = state["rows"]
    assert (baseline["label"], none["label"]) == ("baseline: norm=batch", "norm=none")
    assert [cell[0] for cell in baseline["cells"].values()] == ["finished", "finished", "running", "to do"]
    assert [cell[0] for cell in none["cells"].values()] == ["finished", "diverged", "failed", "interrupted"]
    assert baseline["cells"][2] == ["running", 20.0, 0.5], "two of four epochs, the last accuracy 0.2"
    assert state["seeds"] == [0, 1, 2, 3] and state["cells"] == 8
    assert not state["over"]


def test_so_far_has_means_and_paired_differences_and_no_verdict(halfway, clock):
    baseline, none = Watched(halfway.study, clock).overview()["rows"]
    assert (baseline["finished"], baseline["of"], baseline["mean"], baseline["range"]) == (2, 4, 92.0, [91.0, 93.0])
    assert baseline["best"] and baseline["change"] is None
    # Seed 0 alone has ended in both.
    assert (none["mean"], none["change"], none["pairs"], none["best"]) == (85.0, -6.0, 1, False)
    assert none["lost"] == {"diverged": 1, "failed": 1}
    assert not {"verdict", "p", "interval"} & {*none, *Watched(halfway.study, clock).overview()}


def test_what_went_wrong_has_its_last_lines(halfway, clock):
    troubles = {one["seed"]: one for one in Watched(halfway.study, clock).overview()["troubles"]}
    assert troubles[1]["lines"] == ["The loss of optimizer step 7 is not finite."]
    assert troubles[2]["lines"][-1] == "RuntimeError: <img src=x onerror=alert(1)>" and len(troubles[2]["lines"]) == 3
    assert troubles[3]["status"] == "interrupted" and "resumes it" in troubles[3]["lines"][0]


def test_the_time_left_is_told_by_runs_that_have_ended(halfway, clock):
    # 10 s each: one to do, half of the running one, the interrupted one, whose first epoch tells no share.
    assert Watched(halfway.study, clock).overview()["left"] == "about 25 s left"


def test_a_run_goes_on_and_ends_under_the_same_eyes(store, clock):
    watched = Watched(store.study, clock)
    assert watched.overview()["counts"] == {"to do": 8}
    store.begin("batch", 0, 1)
    assert watched.overview()["rows"][0]["cells"][0] == ["running", 10.0, None]
    store.train("batch", 0, range(1, 3))
    assert watched.overview()["rows"][0]["cells"][0] == ["running", 30.0, 0.75]
    (line,) = watched.curves(0)["lines"]
    assert line["metric"] == [(9.0, 10.0), (19.0, 20.0), (29.0, 30.0)]
    assert len(line["loss"]) == 30 and line["loss"][0] == (0.0, 2.0)
    assert "<svg" in watched.gradients(0, 0)["svg"] and "running" in watched.gradients(0, 0)["said"]
    assert watched.gradients(0, 1)["svg"] is None and watched.gradients(5, 0) is None and watched.curves(5) is None


def test_parts_that_come_later_are_read_alone(store, monkeypatch):
    directory = store.begin("batch", 0, 3)
    series = Series(directory, "val/acc")
    series.update()
    read = []
    monkeypatch.setattr(Series, "_add", lambda self, path: read.append(path.name))
    store.train("batch", 0, range(3, 4))
    series.update()
    assert read == ["metrics-00000003.parquet"]


def test_a_resumed_run_that_cuts_its_parts_is_read_anew(store):
    directory = store.begin("batch", 0, 3)
    series = Series(directory, "val/acc")
    series.update()
    assert series.last == 0.3
    for part in sorted((directory / "parts").glob("metrics-*"))[1:]:
        part.unlink()
    series.update()
    assert series.last == 0.1 and len(series.loss.points()) == 10


def test_a_result_that_has_not_changed_is_not_read_again(store, monkeypatch):
    directory = store.end("batch", 0, 0.9)
    run = WatchedRun(directory, "val/acc")
    run.look()
    assert (run.status, run.value) == ("finished", 0.9)
    monkeypatch.setattr("ablate.watch.run.standing", lambda *_: pytest.fail("looked at again"))
    run.look()
    (directory / "run.json").write_text((directory / "run.json").read_text() + "\n")
    with pytest.raises(pytest.fail.Exception):
        run.look()


def test_a_damaged_history_is_said(store, clock):
    directory = store.begin("batch", 0, 1)
    (directory / "parts" / "metrics-00000001.parquet").write_bytes(b"PAR1 no more")
    watched = Watched(store.study, clock)
    (trouble,) = watched.overview()["troubles"]
    assert "cannot be read" in trouble["lines"][0]


def test_a_curve_has_a_bounded_number_of_points_with_the_right_means():
    import numpy as np

    thinned = Thinned()
    for start in range(0, 10_000, 777):
        steps = np.arange(start, min(start + 777, 10_000))
        thinned.add(steps, np.where(steps == 5, np.nan, steps * 2.0))
    points = thinned.points()
    assert POINTS / 2 <= len(points) <= POINTS
    assert all(abs(value - 2 * step) <= 1e-4 * (1 + value) for step, value in points)


def test_folders_show_runs_as_they_come(run, tmp_path, clock):
    (tmp_path / "runs").mkdir()
    watched = Watched(OfFolders([tmp_path / "runs"], "val/acc"), clock)
    assert watched.overview()["cells"] == 0
    for seed in range(2):
        run({"norm": "batch"}, seed, 0.9)
        run({"norm": "none"}, seed, 0.8)
    state = watched.overview()
    assert [(row["label"], row["mean"], row["change"]) for row in state["rows"]] == [
        ("baseline: norm=batch", 90.0, None),
        ("norm=none", 80.0, -10.0),
    ]
    run({"norm": "none"}, 7, None, status="failed", error="RuntimeError: no")
    assert watched.overview()["rows"][1]["lost"] == {"failed": 1}
    with pytest.raises(InputError, match="no such file or folder"):
        OfFolders([tmp_path / "nowhere"], "val/acc")
