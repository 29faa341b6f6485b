"""The pool that hands cells to worker processes, without them: what it makes of what they say."""

import signal
from pathlib import Path

import pytest

from ablate.sweep.engines import pool
from ablate.sweep.engines.pool_worker import Outcome


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
        self.cell, self.process = None, self

    def start(self, cell):
        self.cell = cell

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
