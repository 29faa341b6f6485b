"""The pool that hands cells to worker processes, without them: what it makes of what they say."""

import signal
from pathlib import Path

import pytest

from ablate.sweep.engines import pool
from ablate.sweep.engines.pool_worker import Outcome

JOBS = [pool.Job(name, [], Path(name)) for name in ("first", "second")]


class Silent:
    """A view that shows nothing."""

    def __getattr__(self, name):
        return lambda *told: None


class Slot:
    """A place for a worker that there is not."""

    def __init__(self, of, number):
        self.job, self.process = None, self
        self.pid = None

    def start(self, job):
        self.job = job
        return job

    def is_alive(self):
        return False

    def close(self):
        pass


@pytest.fixture
def told(monkeypatch, tmp_path):
    """told([(job, status), …], at): a pool hears these outcomes, and Ctrl-C with that of this number."""
    monkeypatch.setattr(pool, "_Slot", Slot)
    monkeypatch.chdir(tmp_path)

    def run(outcomes, at):
        made = pool.Pool(2, 1, [], tmp_path)
        left = iter(enumerate(outcomes))

        def messages():
            number, (name, status) = next(left)
            if number == at:
                signal.raise_signal(signal.SIGINT)
            slot = next(slot for slot in made._slots if slot.job and slot.job.fingerprint == name)
            yield slot, slot.job, ("ended", Outcome(status))

        monkeypatch.setattr(made, "_messages", messages)
        made.run(JOBS, Silent())

    return run


@pytest.mark.parametrize("last", ["finished", "failed", "invalid", "diverged"])
def test_a_stop_that_comes_when_all_cells_have_ended_is_none(told, last):
    told([("first", "finished"), ("second", last)], at=1)


@pytest.mark.parametrize("at", [0, 1])
def test_a_cell_that_was_stopped_is_said(told, at):
    with pytest.raises(pool.Stopped) as stop:
        told([("first", "finished"), ("second", "interrupted")], at)
    assert stop.value.signum == signal.SIGINT
