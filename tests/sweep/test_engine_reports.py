"""What a pool's workers say is written down by the sweep, whoever looks on."""

import json
from types import SimpleNamespace

import pytest

from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.engines import pool
from ablate.sweep.engines.pool_worker import Outcome
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import FAILED, TO_DO, plan
from tests.conftest import SMALL


@pytest.fixture
def cells(tmp_path):
    register_resolvers()
    file = tmp_path / "sweep.yaml"
    file.write_text(json.dumps({"method": "grid", "parameters": {"seed": {"values": [0, 1]}}}))
    return plan(SweepFile.read(file), [*SMALL, "threads=1", f"runs_dir={tmp_path}/runs"])


@pytest.fixture
def heard(monkeypatch, tmp_path):
    """heard(cells, messages): what a view was told of by a pool of one worker that says these; None is its death."""

    class Slot:
        def __init__(self, of, number):
            self.cell, self.devices, self.process = None, None, SimpleNamespace(is_alive=lambda: False)

        def start(self, cell):
            self.cell = cell

        def outcome_of_death(self):
            return Outcome("failed", "the worker process ended by SIGKILL")

        def close(self):
            pass

    def run(cells, messages):
        told = []
        names = ("started", "within", "epoch", "ended", "taken", "waiting", "stopping")
        view = SimpleNamespace(**{name: lambda *what, name=name: told.append((name, *what)) for name in names})
        made = pool.Pool(1, 1, [], tmp_path)
        left = iter(messages)
        monkeypatch.setattr(pool, "_Slot", Slot)
        monkeypatch.setattr(made, "_messages", lambda: [(made._slots[0], made._slots[0].cell, next(left))])
        made.run(cells, view)
        return told

    return run


def test_a_worker_that_dies_twice_leaves_a_record_though_the_view_does_nothing(cells, heard):
    dead, other = cells
    told = heard(cells, [None, ("ended", Outcome("interrupted", "no room")), None])
    assert [what for what in told if what[0] == "ended"] == [("ended", other), ("ended", dead)]
    stored = json.loads((dead.directory / "run.json").read_text())
    assert stored["status"] == dead.status == FAILED
    assert stored["error"] == dead.reason == "the worker process ended by SIGKILL"
    assert stored["choices"]["model"] == "resnet20" and stored["seed"] == dead.values["seed"]
    assert other.status == TO_DO and not other.directory.exists()


def test_a_refusal_stands_in_the_cell_and_nowhere_else(cells, heard):
    told = heard(
        cells[:1], [("within", "its half"), ("epoch", "an epoch"), ("ended", Outcome("invalid", "no such data"))]
    )
    heard = [("within", cells[0], "its half"), ("epoch", cells[0], "an epoch")]
    assert told == [("started", cells[0]), *heard, ("ended", cells[0])]
    assert (cells[0].status, cells[0].reason) == ("invalid", "no such data")
    assert not cells[0].directory.exists()
