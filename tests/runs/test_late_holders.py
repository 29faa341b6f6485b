"""A process that was stopped and wakes up after its claim was taken over changes nothing."""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ablate.process.interrupt import LostError
from ablate.runs import cell, lease, record
from ablate.training.saving.checkpoints import PlainFiles
from tests.sweep.sweeping import until

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["ablate.sweep.engines.pool_server"])
RUN = ["trainer.max_epochs=3", "checkpoint.every_n_steps=5", "gradient_norms.pictures=true", "result=best"]


def work(overrides: list[str], stop_before: int | None) -> None:
    """Train the cell; stop, as a frozen machine does, right before the rename of this number."""
    os.setpgid(0, 0)
    renames = 0

    def late(original: Callable[..., Any]) -> Callable[..., Any]:
        def rename(self: Path, target: Path) -> Any:
            nonlocal renames
            renames += 1
            if renames == stop_before:
                os.kill(os.getpid(), signal.SIGSTOP)
            return original(self, target)

        return rename

    Path.rename, Path.replace = late(Path.rename), late(Path.replace)  # type: ignore[method-assign]
    os._exit(cell.run_overrides(overrides))


def state_of(process: BaseProcess) -> str:
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def files(directory: Path) -> dict[str, str]:
    """Every file of the run but the claims and its log, by its hash."""
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "run.log" and path.relative_to(directory).parts[0] != "claims"
    }


def numbers(directory: Path) -> list[Any]:
    names = ("metrics.parquet", "gradient_norms.parquet")
    tables = [sorted(map(repr, pq.read_table(directory / name).to_pylist())) for name in names]
    return [*tables, record.read(directory).summary, record.read(directory).status]


@contextmanager
def over_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Claims count as dead whatever their age."""
    with monkeypatch.context() as patch:
        patch.setattr(lease, "STALE_AFTER", -1)
        patch.setattr(lease, "WATCHED", 0)
        yield


def take_over_and_wake(late: cell.Cell, process: BaseProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with over_at_once(monkeypatch):
            cell.run(late)
        before = files(late.directory)
        assert "run.json" in before and not [name for name in before if name.endswith(".tmp") or "parts" in name]
    finally:
        with suppress(ProcessLookupError):  # it had done its last thing when it was stopped
            os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode is not None
    assert files(late.directory) == before, "the late holder has changed something"
    assert [path.name for path in late.directory.iterdir() if path.is_dir() and not any(path.iterdir())] == []


def started(late: cell.Cell, stop_before: int | None) -> BaseProcess:
    process = FORKED.Process(target=work, args=(late.composition.overrides, stop_before))
    process.start()
    return process


@pytest.mark.parametrize("every", [24, pytest.param(1, marks=pytest.mark.long)])
def test_a_holder_that_is_late_at_a_rename_changes_nothing(prepared, monkeypatch, every):
    """Its claim, folders, configurations, records, parts, checkpoints, pictures: all that a run does are renames."""
    whole = prepared(*RUN, runs="whole")
    renames = 0
    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            original = getattr(Path, name)

            def counted(self: Path, target: Path, original: Callable[..., Any] = original) -> Any:
                nonlocal renames
                renames += 1
                return original(self, target)

            patch.setattr(Path, name, counted)
        cell.run(whole)
    assert renames > 30
    for moment in sorted({*range(1, renames, every), *range(renames - 2, renames + 1)}):
        late = prepared(*RUN, runs=f"late{moment}")
        process = started(late, moment)
        until(lambda process=process: state_of(process) == "T")
        take_over_and_wake(late, process, monkeypatch)
        # The last rename gives the claim back: then the result is that of the late one.
        assert process.exitcode == (0 if moment == renames else 1 if moment > 1 else 2)
        assert numbers(late.directory) == numbers(whole.directory), moment


@pytest.mark.parametrize("count", [2, pytest.param(60, marks=pytest.mark.long)])
def test_a_holder_that_is_late_at_a_random_moment_changes_nothing(prepared, monkeypatch, count):
    whole = prepared(*RUN, runs="whole")
    began = time.monotonic()
    cell.run(whole)
    lasts = time.monotonic() - began
    draw = random.Random(count)
    for number in range(count):
        late = prepared(*RUN, runs=f"late{number}")
        process = started(late, None)
        time.sleep(draw.uniform(0.1, 1.5) * lasts)
        if process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGSTOP)
            take_over_and_wake(late, process, monkeypatch)
        assert numbers(late.directory) == numbers(whole.directory), number


def test_a_checkpoint_of_a_late_holder_makes_no_folder_anew(tmp_path):
    with lease.claimed(tmp_path / "run", lambda: None) as claim:
        (tmp_path / "run" / "checkpoints").mkdir()
        shutil.rmtree(claim.staging.folder)  # as whoever takes over does first
        target = tmp_path / "run" / "checkpoints" / "step-000000001.ckpt"
        with pytest.raises(LostError):
            claim.staging.replace(target, lambda path: PlainFiles().save_checkpoint({}, path))
        assert not claim.staging.folder.exists() and not target.exists()
