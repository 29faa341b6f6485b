"""One claim at a time, and none that outlives its holder."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ablate.process.interrupt import LostError
from ablate.runs import cell, lease
from ablate.runs.lease import TakenError, claimed, holder

FORKED = multiprocessing.get_context("forkserver")  # spawned ones would each take seconds to import
FORKED.set_forkserver_preload(["ablate.sweep.engines.pool_server"])


def hold(directory: Path, holding, until) -> None:
    with claimed(directory, lambda: None):
        holding.set()
        until.wait(60)


def try_to_hold(directory: Path, ready, outcome, until) -> None:
    ready.wait(60)  # all of them at one moment
    try:
        with claimed(directory, lambda: None):
            outcome.put("held")
            until.wait(60)
    except TakenError:
        outcome.put("refused")


@pytest.fixture
def other_holder(tmp_path):
    """A live process that holds the claim on tmp_path / "run"."""
    holding, until = FORKED.Event(), FORKED.Event()
    process = FORKED.Process(target=hold, args=(tmp_path / "run", holding, until))
    process.start()
    assert holding.wait(60)
    yield process
    process.kill()  # not by the event, which waits for the waiting even if they are dead
    process.join(60)


def take(directory: Path) -> int:
    with claimed(directory, lambda: None) as claim:
        return claim.number


def test_a_claim_keeps_others_out_until_it_is_given_back(tmp_path):
    run = tmp_path / "run"
    assert holder(run) is None
    with claimed(run, lambda: None):
        assert holder(run)["pid"] == os.getpid()
        with pytest.raises(TakenError, match=str(os.getpid())):
            take(run)
    assert holder(run) is None
    assert take(run) == 2
    assert [path.name for path in (run / "claims").iterdir()] == ["000002"]


def test_another_process_keeps_it_and_its_death_frees_it_at_once(tmp_path, other_holder):
    with pytest.raises(TakenError, match=str(other_holder.pid)):
        take(tmp_path / "run")
    os.kill(other_holder.pid, signal.SIGKILL)
    other_holder.join(60)
    assert holder(tmp_path / "run") is None
    assert take(tmp_path / "run") == 2


def test_a_dead_process_that_nobody_has_buried_holds_nothing(tmp_path, other_holder):
    os.kill(other_holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while holder(tmp_path / "run") is not None and time.monotonic() < deadline:
        time.sleep(0.05)  # not joined: the process stays as a zombie
    assert holder(tmp_path / "run") is None


def foreign(run: Path, seconds_ago: float) -> None:
    """A claim by a process of another machine, touched so many seconds ago."""
    (run / "claims").mkdir(parents=True)
    path = run / "claims" / "000007"
    path.write_text(json.dumps({"host": "elsewhere", "machine": "another boot", "pid": 1, "started": "1"}))
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_a_claim_of_another_host_counts_while_it_is_kept_alive(tmp_path):
    foreign(tmp_path / "run", seconds_ago=lease.STALE_AFTER - 20)
    with pytest.raises(TakenError, match="elsewhere"):
        take(tmp_path / "run")


def test_a_claim_of_another_host_that_is_not_kept_alive_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    foreign(tmp_path / "run", seconds_ago=lease.STALE_AFTER + 20)
    assert take(tmp_path / "run") == 8


def test_the_holder_keeps_its_claim_alive(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    with claimed(tmp_path / "run", lambda: None):
        path = tmp_path / "run" / "claims" / "000001" / "holder"
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert path.stat().st_mtime > 1


def test_a_holder_that_was_taken_over_learns_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    told = threading.Event()
    with claimed(tmp_path / "run", told.set) as claim:
        claim.check()
        monkeypatch.setattr(lease, "STALE_AFTER", -1)  # whatever is touched counts as untouched for long
        monkeypatch.setattr(lease, "WATCHED", 0)
        with claimed(tmp_path / "run", lambda: None) as other:
            assert other.number == 2
            assert told.wait(30)
            with pytest.raises(LostError):
                claim.check()
    claims = [path.relative_to(tmp_path / "run" / "claims").as_posix() for path in tmp_path.rglob("claims/*/*")]
    assert claims == ["000002/released"], "a lost claim must not touch its successor"


def test_of_many_at_once_one_wins(tmp_path):
    ready, outcome, until = FORKED.Barrier(4), FORKED.Queue(), FORKED.Event()
    processes = [FORKED.Process(target=try_to_hold, args=(tmp_path / "run", ready, outcome, until)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = sorted(outcome.get(timeout=60) for _ in processes)
    until.set()
    for process in processes:
        process.join(60)
    assert outcomes == ["held", *["refused"] * 3]


def churn(directory: Path, ready, until) -> None:
    ready.wait(60)
    while not until.is_set():
        try:
            with claimed(directory, lambda: None):
                pass
        except TakenError:
            pass


def test_claims_that_change_hands_at_every_moment_can_be_looked_at(tmp_path):
    ready, until = FORKED.Barrier(3), FORKED.Event()
    processes = [FORKED.Process(target=churn, args=(tmp_path / "run", ready, until)) for _ in range(2)]
    for process in processes:
        process.start()
    ready.wait(60)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        holder(tmp_path / "run")
    until.set()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]


def test_a_claim_that_cannot_be_read_counts_by_its_age(tmp_path):
    foreign(tmp_path / "run", seconds_ago=0)
    (tmp_path / "run" / "claims" / "000007").write_text('{"host": "else')  # the disk was full
    with pytest.raises(TakenError):
        take(tmp_path / "run")


def test_an_agents_run_waits_for_the_process_that_trains_its_cell(prepared, monkeypatch, capsys):
    monkeypatch.setattr(cell, "ASK_AGAIN", 0.05)
    waiting = prepared("trainer.max_epochs=1")
    holding, until = threading.Event(), threading.Event()
    other = threading.Thread(target=hold, args=(waiting.directory, holding, until))
    other.start()
    assert holding.wait(60)
    asked = cell.holder
    monkeypatch.setattr(cell, "holder", lambda directory: until.set() or asked(directory))
    record, trained = cell.run_when_free(waiting)
    other.join(60)
    assert trained and record.status == "finished"
    assert "is being trained by another process" in capsys.readouterr().out
