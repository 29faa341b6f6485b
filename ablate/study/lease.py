"""Who trains a cell: a claim on its directory that every process on every host can see and, once dead, take over.

A claim is a file `claims/<number>` in the run's directory; the highest number is the one in force. It is made with an
exclusive create, which one process alone can win, on shared file systems too. Its holder touches it every few
seconds. It ends when the holder gives it back, when the holder's process is gone (seen at once on the same machine),
or when it has not been touched for `STALE_AFTER` seconds. Whoever takes over makes the next number: a holder that
was only asleep finds it and stops.
"""

import json
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablate.errors import InputError
from ablate.training.interrupt import LostError

HEARTBEAT = 5.0  # seconds from one touch to the next
STALE_AFTER = 60.0  # seconds without a touch; a machine that sleeps longer loses its claims


class TakenError(InputError):
    """Another process holds the claim."""


class Claim:
    """A claim that this process holds. `number` is its place in the order of claims on the directory."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory, self.number = directory, number

    def check(self) -> None:
        """Raise LostError if another process has taken over."""
        if _newest(_folder(self.directory)) != self.number:
            raise LostError(
                f"{self.directory} has been taken over by another process: this one stops and writes no more."
            )


@contextmanager
def claimed(directory: Path, on_lost: Callable[[], None]) -> Iterator[Claim]:
    """Make the run's directory and hold the claim on it for the block. `on_lost` is called, from a thread, when
    another process has taken over.

    Raises TakenError where another process holds it, InputError where the directory cannot be written.
    """
    try:
        claim = _take(directory)
    except OSError as error:
        raise InputError(
            f"runs_dir={directory.parent} cannot be written ({error.strerror}): set runs_dir to a folder of yours."
        ) from error
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(claim, done, on_lost), daemon=True, name="claim")
    heart.start()
    try:
        yield claim
    finally:
        done.set()
        heart.join()
        _release(claim)


def holder(directory: Path) -> dict[str, Any] | None:
    """What is known of the process that holds the claim on `directory` (host, pid), or None where none does."""
    folder = _folder(directory)
    number = _newest(folder)
    if number is None:
        return None
    path = _path(folder, number)
    try:
        text = path.read_text()
    except FileNotFoundError:  # superseded this moment
        return {}
    known = json.loads(text) if text else {}  # empty: made this moment
    if known.get("released"):
        return None
    if known.get("machine") == _machine() and _started(known["pid"]) != known["started"]:
        return None
    return known if _age(path) < STALE_AFTER else None


def _take(directory: Path) -> Claim:
    folder = _folder(directory)
    folder.mkdir(parents=True, exist_ok=True)
    before = _newest(folder)
    now_holding = holder(directory)
    if now_holding is not None:
        who = f"{now_holding.get('host', 'another host')}, process {now_holding.get('pid', 'unknown')}"
        raise TakenError(
            f"{directory} is being trained by another process ({who}): wait for it, or look at its run.log."
        )
    number = (before or 0) + 1
    text = json.dumps(
        {"host": platform.node(), "machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}
    )
    try:
        descriptor = os.open(_path(folder, number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError as error:
        raise TakenError(f"{directory} has just been claimed by another process: wait for it.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    for old in folder.iterdir():
        if old.name.isdigit() and int(old.name) < number:
            old.unlink(missing_ok=True)
    return Claim(directory, number)


def _release(claim: Claim) -> None:
    """Give the claim back. The file stays: numbers are used once, lest two takers of different ages meet."""
    folder = _folder(claim.directory)
    unfinished = folder / f"{claim.number}.tmp"
    unfinished.write_text(json.dumps({"released": True}))
    if _newest(folder) == claim.number:
        unfinished.replace(_path(folder, claim.number))
    else:
        unfinished.unlink()


def _beat(claim: Claim, done: threading.Event, on_lost: Callable[[], None]) -> None:
    folder = _folder(claim.directory)
    while not done.wait(HEARTBEAT):
        if _newest(folder) != claim.number:
            on_lost()
            return
        os.utime(_path(folder, claim.number))


def _folder(directory: Path) -> Path:
    return directory / "claims"


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}"


def _newest(folder: Path) -> int | None:
    try:
        return max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=None)
    except FileNotFoundError:
        return None


def _age(path: Path) -> float:
    """Seconds since the last touch, by the file system's own clock: hosts need not agree on the time."""
    with tempfile.NamedTemporaryFile(dir=path.parent) as now:
        return Path(now.name).stat().st_mtime - path.stat().st_mtime


def _machine() -> str:
    """This boot of this machine, and the container within it: where process numbers mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str | None:
    """When a process of this machine started, which tells it from a later one of that number; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _answers(pid)
    return None if fields[0] in "ZX" else fields[19]


def _answers(pid: int) -> str | None:
    """Where there is no /proc: whether some process has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"
