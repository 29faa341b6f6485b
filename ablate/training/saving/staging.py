"""The only way to change a run's directory: through a folder that belongs to the holder of the claim."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ablate.errors import is_full
from ablate.process.interrupt import LostError

ASIDE = "aside"  # within the staging folder: files that are being moved out of the run's directory, to be kept


class FullDiskError(OSError):
    """There was no room for a file."""


class Staging:
    """A folder in which files are written before they are moved to a run's directory, and to which they are moved
    before they are deleted.

    Every change of the run's directory is a rename from or to this folder. A process that takes the run over first
    removes the folder. After that no such rename can succeed, not even one that has started, because the system carries
    out a rename and a directory's removal one after the other. The folder's name is random, so it is never created
    again. So a holder that was suspended anywhere, even between checking its claim and writing, cannot change anything
    when it wakes up. What it did before looks as if it had been killed at that point, and a run can resume from that.

    Reading does not need the folder. Nor do files that a single process writes (run.log, W&B's files).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> None:
        """Raise LostError if the run has been taken over."""
        if not self.folder.is_dir():
            run = Path(*self.folder.parts[:-3])
            raise LostError(f"{run} has been taken over by another process: this one stops and writes nothing more.")

    def replace(self, path: Path, write: Callable[[Path], object]) -> None:
        """Replace the file `path` atomically: `write` is called with a temporary path, which is then renamed.

        Raises LostError if the run has been taken over, FullDiskError, and what `write` raises.
        """
        unfinished = self.folder / f"{path.name}.tmp"
        with self._held():
            try:
                write(unfinished)
                with unfinished.open("rb") as file:
                    os.fsync(file.fileno())  # otherwise a crash of the machine could leave an empty file
                unfinished.replace(path)
            except BaseException as error:
                full = _is_full(unfinished, error)
                with suppress(OSError):
                    unfinished.unlink()
                if full:
                    raise FullDiskError(errno.ENOSPC, "No space left on the disk", str(path)) from error
                raise

    def make(self, folder: Path) -> None:
        """Create an empty folder, if it does not exist."""
        made = self.folder / f"{folder.name}.{secrets.token_hex(4)}.tmp"
        with self._held():
            if not folder.is_dir():
                made.mkdir()
                made.rename(folder)

    def remove(self, path: Path) -> None:
        """Delete a file or a folder, if it exists."""
        gone = self.folder / f"{path.name}.{secrets.token_hex(4)}.tmp"
        with self._held():
            try:
                path.rename(gone)
            except FileNotFoundError:
                self.check()
                return
        if gone.is_dir() and not gone.is_symlink():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            gone.unlink(missing_ok=True)

    def set_aside(self, paths: Iterable[Path], folder: Path) -> Path:
        """Move files and folders to `folder`, or if that exists, to folder-2, folder-3, …; return the new folder."""
        waiting = self.folder / ASIDE / folder.name
        with self._held():
            for made in (waiting.parent, waiting):  # not parents=True: a removed staging folder must not come back
                made.mkdir(exist_ok=True)
            for path in paths:
                put(path, waiting / path.name)
            folder.parent.mkdir(exist_ok=True)
            return put(waiting, folder)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """If the block fails because the run has been taken over, raise LostError instead."""
        try:
            yield
        except Exception:
            self.check()
            raise


def put(folder: Path, target: Path) -> Path:
    """Move a file or folder to `target`, or if that exists, to target-2, target-3, …; return its new path."""
    number = 1
    while True:
        free = target if number == 1 else target.with_name(f"{target.name}-{number}")
        try:
            if not os.path.lexists(free):
                return folder.rename(free)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        number += 1


def _is_full(unfinished: Path, error: BaseException) -> bool:
    """Like `errors.is_full`, but also for libraries that raise their own errors: then the disk's free space counts.

    torch (2.14) names a position in the file. Then it counts whether what has been written would fit once more: other
    programs may have made some room since.
    """
    if is_full(error):
        return True
    try:
        by_torch = isinstance(error, RuntimeError) and re.search("unexpected pos|PytorchStreamWriter", str(error))
        needed = unfinished.stat().st_size if by_torch and unfinished.exists() else 0
        return isinstance(error, Exception) and shutil.disk_usage(unfinished.parent).free < max(needed, 2**16)
    except OSError:
        return False
