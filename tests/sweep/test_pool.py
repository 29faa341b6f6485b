"""The pool that hands cells to worker processes, without them: what it makes of what they say."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.sweep.engines import pool
from ablate.sweep.engines.pool_worker import OUT_OF_MEMORY, Outcome
from ablate.sweep.plan import PlannedCell


class Cell:
    """What the pool asks of a planned cell."""

    def __init__(self, name):
        self.directory = Path(name)

    def ended_elsewhere(self):
        return None

    def heard(self, status, reason):
        pass


class Silent:
    """A view that shows nothing."""

    def __getattr__(self, name):
        return lambda *told: None


class Slot:
    """A place for a worker that there is not."""

    pid = None

    def __init__(self, of, number):
        self.cell, self.process, self.pool = None, self, of
        self.devices = of.gpus[number] if of.gpus else None
        self.starts = 0

    def start(self, cell):
        self.cell, self.shared = cell, self.devices is not None and self.pool.sharing(self) > 1
        self.starts += 1

    def restart(self):
        self.starts = 0

    def outcome_of_death(self):
        return Outcome(OUT_OF_MEMORY, "killed")

    def is_alive(self):
        return False

    def close(self):
        pass


@pytest.fixture
def told(monkeypatch, tmp_path):
    """told([(name, status), …], at): a pool hears these outcomes of its cells, and Ctrl-C with that of this number."""
    monkeypatch.setattr(pool, "_Slot", Slot)

    def run(outcomes, at):
        made = pool.Pool(2, 1, [], tmp_path)
        left = iter(enumerate(outcomes))

        def messages():
            number, (name, status) = next(left)
            if number == at:
                signal.raise_signal(signal.SIGINT)
            slot = next(slot for slot in made._slots if slot.cell and slot.cell.directory.name == name)
            yield slot, slot.cell, ("ended", Outcome(status))

        monkeypatch.setattr(made, "_messages", messages)
        made.run([Cell("first"), Cell("second")], Silent())

    return run


@pytest.mark.parametrize("last", ["finished", "failed", "invalid", "diverged"])
def test_a_stop_that_comes_when_all_cells_have_ended_is_none(told, last):
    told([("first", "finished"), ("second", last)], at=1)


@pytest.mark.parametrize("at", [0, 1])
def test_a_cell_that_was_stopped_is_said(told, at):
    with pytest.raises(pool.Stopped) as stop:
        told([("first", "finished"), ("second", "interrupted")], at)
    assert stop.value.signum == signal.SIGINT


class Ended(Silent):
    """A view that notes how cells end, and how many workers are left when there are fewer."""

    def __init__(self):
        self.fewer_workers, self.whys = [], set()

    def fewer(self, cell, why, workers):
        self.whys.add(why)
        self.fewer_workers.append((cell.directory.name, workers))


def run_with(monkeypatch, tmp_path, gpus, names, outcome):
    """A pool of as many workers as `gpus` runs cells of these names. outcome(name, how many run beside it) -> status,
    or None if the worker is killed.

    Returns the outcomes that the cells heard, the view, and the devices of the workers that are left.
    """
    monkeypatch.setattr(pool, "_Slot", Slot)
    on = [] if gpus[0] is None else gpus
    made, view, heard = pool.Pool(len(gpus), 1, on, tmp_path), Ended(), {}
    cells = [Cell(name) for name in names]
    for cell in cells:
        cell.heard = lambda status, reason, name=cell.directory.name: heard.setdefault(name, []).append(status)

    def messages():
        busy = [slot for slot in made._slots if slot.cell]
        told = [
            (slot, outcome(slot.cell.directory.name, sum(s.devices == slot.devices for s in busy))) for slot in busy
        ]
        for slot, status in told:
            yield slot, slot.cell, status and ("ended", Outcome(status, "why"))

    monkeypatch.setattr(made, "_messages", messages)
    made.run(cells, view)
    return heard, view, [slot.devices for slot in made._slots]


def test_too_little_memory_for_all_lowers_the_number_of_workers_and_fails_no_cell(monkeypatch, tmp_path):
    def outcome(name, beside):
        return OUT_OF_MEMORY if beside > 2 else "finished"

    heard, view, left = run_with(monkeypatch, tmp_path, ["0"] * 4, "abcdef", outcome)
    assert heard == {name: ["finished"] for name in "abcdef"}
    # All four of the first round ran out, since each saw the others; one worker is left, with a process of its own.
    assert [workers for _, workers in view.fewer_workers] == [3, 2, 1, 1] and left == ["0"]
    assert view.whys == {pool.FULL}


def test_a_cell_that_is_too_large_alone_fails(monkeypatch, tmp_path):
    def outcome(name, beside):
        return OUT_OF_MEMORY if name == "huge" else "finished"

    heard, view, left = run_with(monkeypatch, tmp_path, ["0", "0"], ["huge", "a", "b"], outcome)
    assert heard == {"huge": ["failed"], "a": ["finished"], "b": ["finished"]}
    assert view.fewer_workers == [("huge", 1)] and left == ["0"]


def test_only_the_workers_of_the_same_gpu_become_fewer(monkeypatch, tmp_path):
    """However often it fails, and though the other GPU's workers are free first."""

    def outcome(name, beside):
        return OUT_OF_MEMORY if name == "huge" else "finished"

    gpus = ["0", "1"] * 3
    heard, view, left = run_with(monkeypatch, tmp_path, gpus, ["huge", *"abcdefghijklmnop"], outcome)
    assert heard == {"huge": ["failed"]} | {name: ["finished"] for name in "abcdefghijklmnop"}
    assert view.fewer_workers == [("huge", 5), ("huge", 4)] and sorted(left) == ["0", "1", "1", "1"]


def test_workers_on_the_cpu_have_no_gpu_to_share(monkeypatch, tmp_path):
    def outcome(name, beside):
        return OUT_OF_MEMORY if name == "a" else "finished"

    heard, view, left = run_with(monkeypatch, tmp_path, [None] * 2, "abc", outcome)
    assert heard == {"a": ["failed"], "b": ["finished"], "c": ["finished"]}
    assert view.fewer_workers == [] and left == [None, None]


@pytest.mark.parametrize(("gpus", "fewer"), [(["0"] * 4, [3, 2]), ([None] * 4, []), (["0", "1", "2", "3"], [])])
def test_a_worker_that_the_kernel_kills_beside_others_makes_those_of_its_gpu_fewer(monkeypatch, tmp_path, gpus, fewer):
    """Elsewhere it is replaced, and its cell is tried once more."""
    kills = iter([None, None])

    def outcome(name, beside):
        return next(kills, "finished") if name == "a" else "finished"

    heard, view, left = run_with(monkeypatch, tmp_path, gpus, "abcdefgh", outcome)
    assert heard == {name: ["finished"] for name in "bcdefgh"} | {"a": ["finished" if fewer else "failed"]}
    assert [workers for _, workers in view.fewer_workers] == fewer and len(left) == 4 - len(fewer)
    assert view.whys == ({pool.KILLED} if fewer else set())


@pytest.mark.parametrize(
    ("gpus", "accelerator", "said"),
    [(["0", "0"], "gpu", (True, 2)), (["0"], "gpu", (False, 1)), (["0", "0"], "cpu", (True, None)), ([], "cpu", None)],
)
def test_a_worker_is_told_how_many_share_its_gpu(monkeypatch, tmp_path, gpus, accelerator, said):
    """Also that it is alone: it may have shared the GPU before. A cell on the CPU does not touch it."""
    sent = []
    monkeypatch.setattr(pool._Slot, "restart", lambda slot: None)
    made = pool.Pool(2, 1, gpus, tmp_path)
    made._slots = [pool._Slot(made, number) for number in range(len(gpus) or 2)]
    slot = made._slots[0]
    slot.process, slot.connection = SimpleNamespace(is_alive=lambda: True), SimpleNamespace(send=sent.append)
    cell = PlannedCell({}, ["seed=1"], values={"trainer": {"accelerator": accelerator}})
    slot.start(cell)
    shared, sharing = said or (False, None)
    assert slot.shared == shared and sent == [(["seed=1"], sharing)]


@pytest.mark.parametrize(("code", "status"), [(-9, OUT_OF_MEMORY), (-11, "failed"), (1, "failed")])
def test_how_a_worker_has_died_in_one_line(monkeypatch, tmp_path, code, status):
    monkeypatch.setattr(pool._Slot, "restart", lambda slot: None)
    slot = pool._Slot(pool.Pool(1, 1, ["0"], tmp_path), 0)
    slot.process, slot.log = SimpleNamespace(join=lambda: None, exitcode=code), tmp_path / "log"
    outcome = slot.outcome_of_death()
    assert outcome.status == status and len(outcome.reason.splitlines()) == 1
    assert ("use fewer hydra.launcher.workers" in outcome.reason) == (code == -9)
