"""Who trains a cell: a claim on its directory that every process on every host can see and, once dead, take over.

A claim is a file `claims/<number>` in the run's directory; the highest number is the one in force. It is made with an
exclusive create, which one process alone can win, on shared file systems too. Its holder touches it every few
seconds. It ends when the holder gives it back, when the holder's process is gone (seen at once on the same machine),
or when it has not been touched for `STALE_AFTER` seconds. Whoever takes over makes the next number: a holder that
was only asleep finds it and stops.
"""

import errno
import json
import logging
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablate.errors import InputError
from ablate.training.interrupt import LostError

log = logging.getLogger(__name__)

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)

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
        if error.errno not in _NOT_WRITABLE:
            raise
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
    while (number := _newest(folder)) is not None:
        path = _path(folder, number)
        try:
            known = _read(path)
            if known.get("released") or _is_gone(known):
                return None
            return known if _age(path) < STALE_AFTER else None
        except FileNotFoundError:
            continue  # superseded this moment
    return None


def _read(path: Path) -> dict[str, Any]:
    """A claim's text. Empty where it is being written this moment, or its disk was full: then only its age counts."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return {}


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
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if _newest(folder) != number:  # we were slow, and this number has been used and gone by
        _path(folder, number).unlink(missing_ok=True)
        raise TakenError(f"{directory} has just been claimed by another process: wait for it.")
    for old in folder.iterdir():
        if old.name.isdigit() and int(old.name) < number:
            old.unlink(missing_ok=True)
    return Claim(directory, number)


def _release(claim: Claim) -> None:
    """Give the claim back. The file stays: numbers are used once, lest two takers of different ages meet."""
    folder = _folder(claim.directory)
    unfinished = folder / f"{claim.number}.tmp"
    unfinished.write_text(json.dumps({"released": True}), encoding="utf-8")
    if _newest(folder) == claim.number:
        unfinished.replace(_path(folder, claim.number))
    else:
        unfinished.unlink()


def _beat(claim: Claim, done: threading.Event, on_lost: Callable[[], None]) -> None:
    while not done.wait(HEARTBEAT):
        folder = _folder(claim.directory)
        try:
            if _newest(folder) == claim.number:
                os.utime(_path(folder, claim.number))
                continue
        except FileNotFoundError:
            pass
        except OSError as error:  # a file system that stumbles is asked again
            log.warning("%s: %s", folder, error)
            continue
        on_lost()
        return


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
    """Seconds since the last touch, by the file system's own clock where one may write there: hosts need not agree
    on the time."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent) as probe:
            now = Path(probe.name).stat().st_mtime
    except OSError:
        now = time.time()
    return now - path.stat().st_mtime


def _machine() -> str:
    """This boot of this machine, and the container within it: where process numbers mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _is_gone(known: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine, and is no more."""
    if known.get("machine") != _machine():
        return False
    started = _started(known["pid"])
    return not _answers(known["pid"]) if started is None else started != known["started"]


def _started(pid: int) -> str | None:
    """When a process of this machine started, which tells it from a later one of that number; `dead` for one that
    has ended and whose parent has not asked yet; None where that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]


def _answers(pid: int) -> bool:
    """Whether some process has this number, which a system that hides others' processes tells too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
