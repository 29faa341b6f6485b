"""Which process trains a cell: a claim on its directory, seen by all processes on all hosts that share the folder.

A claim is a folder `claims/<number>` in the run's directory. The claim with the highest number is in force. It holds

    holder              host and process as JSON. The holder touches it every few seconds, and renames it to `released`
                        when it gives the claim back
    staging-<random>/   all changes of the directory go through this folder (`ablate.training.saving.staging`)

A claim is prepared under another name and then renamed to its number. A rename succeeds for one process only, also on
shared file systems, and a full disk cannot leave it half done. A claim ends when its holder gives it back, when the
holder's process has ended (seen at once on the same machine), or when it has not been touched for `STALE_AFTER`
seconds. The process that takes over makes the next number, then removes all lower claims with their staging folders.
After that a holder that was only suspended cannot change anything any more, and stops.

Why there is only one holder: let B make a higher number than A. If A's folder was there first, B finds and removes it,
because B removes lower claims after making its own. If A's folder came later, A finds B's number or a higher one,
because A looks for them after making its own, and gives up. The highest claim is never removed, so no number is used
twice.
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

from ablate.configuration.place import not_writable
from ablate.errors import InputError
from ablate.process import alive
from ablate.process.interrupt import LostError
from ablate.training.saving.staging import ASIDE, Staging, put

log = logging.getLogger(__name__)

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
# Errors of the rename if another process has made the number first, or has removed the prepared folder.
_USED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.ENOENT)

HEARTBEAT = 5.0  # seconds between two touches
STALE_AFTER = 60.0  # seconds without a touch; a machine that is suspended for longer loses its claims
WATCHED = 3  # heartbeats: how long a stale claim is watched before it is taken over, since hosts' clocks may differ
ASK_AGAIN = 2.0  # seconds between two checks whether another process still holds a claim
REPLACED, DAMAGED = ".replaced", ".damaged"  # folders in runs_dir: results replaced on request, damaged files


class TakenError(InputError):
    """Another process holds the claim."""


class Claim:
    """A claim that this process holds.

    number   its number among the claims on the directory
    staging  changes the directory for the holder. Its methods raise LostError once another process has taken over
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
    """Make the run's directory and hold the claim on it while the block runs. `on_lost` is called, from a thread, if
    another process takes over.

    Raises TakenError if another process holds the claim, InputError if the directory cannot be written.
    """
    try:
        claim = _take(directory)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise not_writable(directory.parent, error) from error
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
    """The process that holds the claim on `directory` (host, pid, …), or None if none does.

    A claim does not count if its last touch is more than STALE_AFTER in the past, or in the future.
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
            continue  # removed just now by a process that took over
    return None


def _read(path: Path) -> dict[str, Any]:
    """The content of a claim: {"released": true} once it is given back; empty if it cannot be read, so that only its
    age counts. Older versions wrote a file instead of a folder."""
    try:
        if path.is_dir() and (path / "released").exists():
            return {"released": True}
        known = json.loads((path / "holder" if path.is_dir() else path).read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except FileNotFoundError:
        if path.is_dir():  # a claim without `holder` is being removed, or is damaged
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
    if _newest(folder) != number:  # this process was slow, and another one has taken a higher number
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
    """Remove a lower claim, or what is left of one, with its staging folder. Files that its holder was moving to
    `.replaced` are moved there.

    Raises TakenError if the folder cannot be removed.
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
        except OSError as error:  # its holder is still running and has just written another file
            problem = error
        time.sleep(0.02)
    raise TakenError(f"{path} cannot be removed ({problem}): end the process that holds its files open.")


def _rescue(path: Path, directory: Path) -> None:
    """Finish moving the files that the holder of a claim was moving to `.replaced` when it ended."""
    try:
        # Older versions called the staging folder `desk-…`.
        found = list(path.glob(f"*-*/{ASIDE}/*")) if path.is_dir() else []
    except FileNotFoundError:  # another process has just removed it
        return
    for leaving in found:
        (directory.parent / REPLACED).mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # its holder is still running and has moved it
            put(leaving, directory.parent / REPLACED / leaving.name)


def _make_way(path: Path, directory: Path) -> None:
    """If `path` should be a folder but is a file, move the file to <runs_dir>/.damaged."""
    if not os.path.lexists(path) or path.is_dir():
        return
    aside = directory.parent / DAMAGED / f"{directory.name}-{path.name}-{secrets.token_hex(2)}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    # Another process may have put a folder there by now: both calls fail for a folder.
    with suppress(OSError):
        os.link(path, aside, follow_symlinks=False)
        path.unlink()
        log.warning("%s was not a folder: moved to %s.", path, aside)


def _watched(path: Path) -> dict[str, Any] | None:
    """Watch a stale claim for a few heartbeats. Returns its content if it is touched meanwhile, else None.

    Some file systems take times from their clients' clocks. Then a claim in use may seem stale, or an old one new.
    """
    try:
        known, touched = _read(path), alive.touched(path)
        if known.get("released") or alive.is_gone(known):
            return None
        log.warning(
            "%s: %s has not touched it for a while. Watching it before taking over.",
            path,
            known.get("host", "its holder"),
        )
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
    """Give the claim back. Its folder stays, so that its number is not used again."""
    path = _path(_folder(claim.directory), claim.number)
    try:
        claim.staging.check()
        _rescue(path, claim.directory)
        shutil.rmtree(claim.staging.folder)
        (path / "holder").rename(path / "released")  # a rename works on a full disk too
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
        except OSError as error:  # a temporary error of the file system: try again at the next heartbeat
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
