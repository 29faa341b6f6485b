"""When Python's garbage collector runs, and that open files are written."""

import fcntl
import gc
import io
import os
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path


def collect_rarely() -> None:
    """Run the garbage collector every 100,000 new objects instead of every 700.

    Imports and plans keep nearly everything they create. Searching it for garbage took a third of a command's start.
    """
    gc.set_threshold(100_000, 20, 20)


@cache  # once: in a multirun, what earlier runs have left is not of the imports
def keep_imports() -> None:
    """Call it after the imports: what is alive then is not searched for garbage, not even at the interpreter's exit.

    After an import of torch, Lightning and W&B that last search takes a second, for memory that the system takes back
    anyway. What comes later is searched as ever.
    """
    gc.freeze()


def write_open_files() -> None:
    """Write what open files still hold back, such as that of a user's callback. Call it after each run.

    A forked worker's exit does not do so. Nor do the interpreter's exit and the garbage collector for a file in a cycle
    of references, as one is that a callback holds: before Python 3.14 they may close what is below the file first.
    """
    if not _any_file_is_written():
        return  # as after nearly every run: looking through all objects takes 50 ms
    for thing in gc.get_objects():
        if type(thing) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
            with suppress(OSError, ValueError):  # nothing can be done here about a full disk; ValueError: it is closed
                thing.flush()


def _any_file_is_written() -> bool:
    """Whether a file, the standard streams aside, is open for writing."""
    for number in sorted(int(path.name) for path in Path("/dev/fd").iterdir()):
        with suppress(OSError):  # the folder's own descriptor is closed by now
            is_file = number > 2 and stat.S_ISREG(os.fstat(number).st_mode)
            if is_file and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                return True
    return False
