"""The one way into a run's directory: through a folder of the holder's own."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ablate.errors import is_full
from ablate.process.interrupt import LostError

ASIDE = "aside"  # within the folder: what is on its way out of the run's directory, to be kept


class FullDiskError(OSError):
    """There was no room for a file."""


class Staging:
    """A folder in which files are written before they appear in a run's directory, and into which they go before
    they are deleted.

    Every change of the run's directory is one rename with one end in this folder. Whoever takes the run over removes
    the folder before it looks at anything else. From then on no such rename succeeds, neither a new one nor one that
    was under way: the system carries out a rename and the removal of a directory one after the other, and there is
    no way out of or into a directory that has been removed. Its name is drawn, so nobody makes it again. So a holder
    that was stopped anywhere, even between a look at its claim and a write, can change nothing when it wakes up; what
    it has done before is what a process that was killed at that point leaves, from which a run goes on.

    Reading needs none. Neither do files that only one process ever opens (run.log, W&B's own).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> None:
        """Raise LostError if the run has been taken over."""
        if not self.folder.is_dir():
            run = Path(*self.folder.parts[:-3])
            raise LostError(f"{run} has been taken over by another process: this one stops and writes no more.")

    def replace(self, path: Path, write: Callable[[Path], object]) -> None:
        """Put what `write` writes at `path`: readers see the old file or the new one, whole.

        Raises LostError where the run has been taken over, FullDiskError, and what `write` raises.
        """
        unfinished = self.folder / f"{path.name}.tmp"
        with self._held():
            try:
                write(unfinished)
                with unfinished.open("rb") as file:
                    os.fsync(file.fileno())  # or a machine that dies may leave the name without the content
                unfinished.replace(path)
            except BaseException as error:
                full = _is_full(self.folder, error)
                with suppress(OSError):
                    unfinished.unlink()
                if full:
                    raise FullDiskError(errno.ENOSPC, "No space left on the disk", str(path)) from error
                raise

    def make(self, folder: Path) -> None:
        """Make an empty folder, unless it is there."""
        made = self.folder / f"{folder.name}.{secrets.token_hex(4)}.tmp"
        with self._held():
            if not folder.is_dir():
                made.mkdir()
                made.rename(folder)

    def remove(self, path: Path) -> None:
        """Delete a file or a folder, if it is there."""
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
        """Move files and folders to `folder`, or one of a similar name where that exists; return it."""
        waiting = self.folder / ASIDE / folder.name
        with self._held():
            for made in (waiting.parent, waiting):  # one by one, lest a staging folder that is gone be made again
                made.mkdir(exist_ok=True)
            for path in paths:
                put(path, waiting / path.name)
            folder.parent.mkdir(exist_ok=True)
            return put(waiting, folder)

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.check()
            raise


def put(folder: Path, target: Path) -> Path:
    """Move a file or folder to `target`, or to target-2, target-3, … where that exists; return where it is now."""
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


def _is_full(folder: Path, error: BaseException) -> bool:
    """As `is_full`, for libraries that raise errors of their own too: then the disk is asked."""
    if is_full(error):
        return True
    try:
        return isinstance(error, Exception) and shutil.disk_usage(folder).free < 2**16
    except OSError:
        return False
