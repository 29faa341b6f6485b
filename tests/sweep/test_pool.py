"""The pool that hands cells to worker processes, without them: what it makes of what they say."""

import signal
from pathlib import Path

import pytest

from ablate.sweep.engines import pool
from ablate.sweep.engines.pool_worker import OUT_OF_MEMORY, Outcome


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
        self.cell, self.shared = cell, self.pool.sharing(self) > 1
        self.starts += 1

    def restart(self):
        self.starts = 0

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
        self.fewer_workers = []

    def fewer(self, cell, workers):
        self.fewer_workers.append((cell.directory.name, workers))


def run_with(monkeypatch, tmp_path, gpus, names, outcome):
    """A pool of as many workers as `gpus` runs cells of these names. outcome(name, how many run beside it) -> status.
    Returns the outcomes that the cells heard, and the view."""
    monkeypatch.setattr(pool, "_Slot", Slot)
    made, view, heard = pool.Pool(len(gpus), None, gpus, tmp_path), Ended(), {}
    cells = [Cell(name) for name in names]
    for cell in cells:
        cell.heard = lambda status, reason, name=cell.directory.name: heard.setdefault(name, []).append(status)

    def messages():
        busy = [slot for slot in made._slots if slot.cell]
        told = [
            (slot, outcome(slot.cell.directory.name, sum(s.devices == slot.devices for s in busy))) for slot in busy
        ]
        for slot, status in told:
            yield slot, slot.cell, ("ended", Outcome(status, "why"))

    monkeypatch.setattr(made, "_messages", messages)
    made.run(cells, view)
    return heard, view.fewer_workers, [slot.devices for slot in made._slots]


def test_too_little_memory_for_all_lowers_the_number_of_workers_and_fails_no_cell(monkeypatch, tmp_path):
    def outcome(name, beside):
        return OUT_OF_MEMORY if beside > 2 else "finished"

    heard, fewer, left = run_with(monkeypatch, tmp_path, ["0"] * 4, "abcdef", outcome)
    assert heard == {name: ["finished"] for name in "abcdef"}
    # All four of the first round ran out, since each saw the others; one worker is left, with a process of its own.
    assert [workers for _, workers in fewer] == [3, 2, 1, 1] and left == ["0"]


def test_a_cell_that_is_too_large_alone_fails(monkeypatch, tmp_path):
    def outcome(name, beside):
        return OUT_OF_MEMORY if name == "huge" else "finished"

    heard, fewer, left = run_with(monkeypatch, tmp_path, ["0", "0"], ["huge", "a", "b"], outcome)
    assert heard == {"huge": ["failed"], "a": ["finished"], "b": ["finished"]}
    assert fewer == [("huge", 1)] and left == ["0"]


def test_only_the_workers_of_the_same_gpu_become_fewer(monkeypatch, tmp_path):
    def outcome(name, beside):
        return OUT_OF_MEMORY if name == "a" and beside > 1 else "finished"

    heard, fewer, left = run_with(monkeypatch, tmp_path, ["0", "1", "0", "1"], "abcd", outcome)
    assert heard == {name: ["finished"] for name in "abcd"}
    assert fewer == [("a", 3)] and sorted(left) == ["0", "1", "1"]
