"""Who trains a cell: a claim on its directory that every process on every host can see and, once dead, take over.

A claim is a folder `claims/<number>` in the run's directory; the highest number is the one in force. In it are

    holder              host and process, as JSON; touched every few seconds; `released` once it is given back
    staging-<drawn>/    through which everything goes that the holder changes (`ablate.training.saving.staging`)

It is made elsewhere and then renamed to its number, which one process alone can win, on shared file systems too, and
which a full disk cannot leave half done. It ends when the holder gives it back, when the holder's process is gone
(seen at once on the same machine), or when it has not been touched for `STALE_AFTER` seconds. Whoever takes over makes
the next number and then removes all lower claims with their staging folders: a holder that was only asleep cannot
change anything any more, and stops.

Why one alone holds a claim. Let B make a higher number than A's. If A's folder was there before, B's removal, which
comes after, finds it. If it came later, A was slow; then A, which looks after making its own, sees B's number or a
higher one, and gives up. The highest claim is never removed, so numbers are used once.
"""

import errno
import json
import logging
import os
import platform
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ablate.errors import InputError
from ablate.process import alive
from ablate.process.interrupt import LostError
from ablate.training.saving.staging import ASIDE, Staging, put

log = logging.getLogger(__name__)

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
_USED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.ENOENT)  # the number, or the place where it was made

HEARTBEAT = 5.0  # seconds from one touch to the next
STALE_AFTER = 60.0  # seconds without a touch; a machine that sleeps longer loses its claims
# Heartbeats for which a claim of another clock is watched before it is taken over.
WATCHED = 3
REPLACED, DAMAGED = ".replaced", ".damaged"  # in runs_dir: results that were replaced on request; what was damaged


class TakenError(InputError):
    """Another process holds the claim."""


class Claim:
    """A claim that this process holds. `number` is its place in the order of claims on the directory.

    staging  through which the holder changes the directory: its methods raise LostError once another has taken over
    """

    def __init__(self, directory: Path, number: int, staging: Staging) -> None:
        self.directory, self.number, self.staging = directory, number, staging

    def check(self) -> None:
        """Raise LostError if another process has taken over."""
        self.staging.check()

    def set_aside(self, paths: list[Path], stamp: str, place: str = REPLACED) -> Path:
        """Move `paths` from the run's directory to <runs_dir>/<place>/<fingerprint>-<stamp>; return that folder."""
        folder = self.directory.parent / place / f"{self.directory.name}-{stamp}"
        return self.staging.set_aside(paths, folder)


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
    """What is known of the process that holds the claim on `directory` (host, pid), or None where none does.

    A claim whose last touch lies further away than STALE_AFTER, in the past or the future, counts as nobody's.
    """
    folder = _folder(directory)
    while (number := _newest(folder)) is not None:
        path = _path(folder, number)
        try:
            known = _read(path)
            if known.get("released") or alive.is_gone(known):
                return None
            return known if abs(alive.age(path)) < STALE_AFTER else None
        except FileNotFoundError:
            continue  # superseded this moment
    return None


def _read(path: Path) -> dict[str, Any]:
    """What a claim says: {"released": true} once it has been given back, nothing where it cannot be understood (then
    only its age counts). Claims of older versions are files."""
    try:
        if path.is_dir() and (path / "released").exists():
            return {"released": True}
        known = json.loads((path / "holder" if path.is_dir() else path).read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except FileNotFoundError:
        if path.is_dir():  # one without a holder is being removed, or was damaged
            return {}
        raise
    except (ValueError, IsADirectoryError):
        return {}


def _take(directory: Path) -> Claim:
    folder = _folder(directory)
    for expected in (directory, folder):
        _make_way(expected, directory)
        expected.mkdir(parents=True, exist_ok=True)
    before = _newest(folder)
    now_holding = holder(directory)
    if now_holding is None and before is not None:
        now_holding = _watched(_path(folder, before))
    if now_holding is not None:
        who = f"{now_holding.get('host', 'another host')}, process {now_holding.get('pid', 'unknown')}"
        raise TakenError(
            f"{directory} is being trained by another process ({who}): wait for it, or look at its run.log."
        )
    number, drawn = (before or 0) + 1, secrets.token_hex(4)
    me = {
        "host": platform.node(),
        "machine": alive.machine(),
        "pid": os.getpid(),
        "started": alive.started(os.getpid()),
    }
    prepared, path = folder / f".{drawn}", _path(folder, number)
    try:
        prepared.mkdir()
        (prepared / f"staging-{drawn}").mkdir()
        (prepared / "holder").write_text(json.dumps(me), encoding="utf-8")
        prepared.rename(path)
    except OSError as error:
        shutil.rmtree(prepared, ignore_errors=True)
        if error.errno in _USED:
            raise TakenError(f"{directory} has just been claimed by another process: wait for it.") from error
        raise
    if _newest(folder) != number:  # we were slow, and this number has been used and gone by
        _end(path, directory)
        raise TakenError(f"{directory} has just been claimed by another process: wait for it.")
    claim = Claim(directory, number, Staging(path / f"staging-{drawn}"))
    try:
        for other in folder.iterdir():
            if other != path and not (other.name.isdigit() and int(other.name) > number):
                _end(other, directory)
    except BaseException:
        _release(claim)
        raise
    return claim


def _end(path: Path, directory: Path) -> None:
    """Remove a lower claim with its staging, or what is left of one; what its holder was setting aside is kept.

    Raises TakenError where the holder's files cannot be removed.
    """
    for _ in range(100):
        _rescue(path, directory)
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            return
        except FileNotFoundError:
            if not os.path.lexists(path):
                return
        except OSError as error:  # its holder, awake, has just written another file
            problem = error
        time.sleep(0.02)
    raise TakenError(f"{path} cannot be removed ({problem}): end the process that holds its files open.")


def _rescue(path: Path, directory: Path) -> None:
    """Keep what the holder of a claim was setting aside when it ended."""
    try:
        # `desk-…` is what older versions called it.
        found = list(path.glob(f"*-*/{ASIDE}/*")) if path.is_dir() else []
    except FileNotFoundError:  # somebody else has removed it this moment
        return
    for leaving in found:
        (directory.parent / REPLACED).mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # its holder, awake, was faster
            put(leaving, directory.parent / REPLACED / leaving.name)


def _make_way(path: Path, directory: Path) -> None:
    """Where a folder is expected and something else lies, move that to <runs_dir>/.damaged."""
    if not os.path.lexists(path) or path.is_dir():
        return
    aside = directory.parent / DAMAGED / f"{directory.name}-{path.name}-{secrets.token_hex(2)}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    # Neither of the two does anything to the folder that another process may have put there by now.
    with suppress(OSError):
        os.link(path, aside, follow_symlinks=False)
        path.unlink()
        log.warning("%s was no folder: it lies in %s now.", path, aside)


def _watched(path: Path) -> dict[str, Any] | None:
    """What a claim says that counts as nobody's by the clock, if it is touched within a few heartbeats; else None.

    A file system whose times are those of its clients may show a live one in the past, and a dead one in the future.
    """
    try:
        known, touched = _read(path), alive.touched(path)
        if known.get("released") or alive.is_gone(known):
            return None
        log.warning("%s: not touched for a while by %s; watching it.", path, known.get("host", "its holder"))
        deadline = time.monotonic() + WATCHED * HEARTBEAT
        while time.monotonic() < deadline:
            time.sleep(HEARTBEAT / 10)
            if alive.touched(path) != touched:
                log.warning("%s: its holder is alive; the clocks of the two hosts differ.", path)
                return known
    except FileNotFoundError:
        pass
    return None


def _release(claim: Claim) -> None:
    """Give the claim back. Its folder stays: numbers are used once, lest two takers of different ages meet."""
    path = _path(_folder(claim.directory), claim.number)
    try:
        claim.staging.check()
        _rescue(path, claim.directory)
        shutil.rmtree(claim.staging.folder)
        (path / "holder").rename(path / "released")  # which takes no room on the disk
    except (OSError, LostError) as error:
        if path.exists():
            log.warning("%s could not be given back: %s", path, error)


def _beat(claim: Claim, done: threading.Event, on_lost: Callable[[], None]) -> None:
    while not done.wait(HEARTBEAT):
        folder = _folder(claim.directory)
        try:
            if _newest(folder) == claim.number:
                os.utime(_path(folder, claim.number) / "holder")
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
    except (FileNotFoundError, NotADirectoryError):
        return None
