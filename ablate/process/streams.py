"""Standard streams and logs that never end a run: it continues when their reader is gone."""

import atexit
import errno
import io
import logging
import os
import sys

_LATER = (errno.ENOSPC, errno.EDQUOT)  # a full disk, which may have room again


class _Lasting(io.TextIOWrapper):
    """Text for a descriptor. What cannot be written any more (to a closed pipe, a terminal that is gone) is dropped."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._let_go(error)

    def end(self) -> None:
        """Before the interpreter ends, which would make what is left over an error of its own."""
        try:
            super().flush()
        except OSError:
            self._point_at_nothing()

    def _let_go(self, error: OSError) -> None:
        if error.errno not in _LATER:
            self._point_at_nothing()

    def _point_at_nothing(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)


def hold() -> None:
    """Make sure of the three standard streams, for a process that may have been started without, or may lose them.

    A descriptor among 0, 1 and 2 that is closed would be that of the next file to be opened, which would get what is
    printed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, this one
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue  # somebody else's, such as a test's
        if stream is not None:
            stream.flush()
        lasting = _Lasting(
            io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)),
            encoding=stream.encoding if stream else "utf-8",
            errors="backslashreplace",
            line_buffering=descriptor == 2 or os.isatty(descriptor),
        )
        setattr(sys, name, lasting)
        atexit.register(lasting.end)


class LastingLog(logging.FileHandler):
    """A log file. What a full disk does not take is lost, which is said once; the run continues."""

    _said = False

    def handleError(self, record: logging.LogRecord | None) -> None:  # noqa: N802
        if not self._said:
            print(f"ablate: {self.baseFilename} is not complete: {sys.exc_info()[1]}.", file=sys.stderr)
        self._said = True

    def close(self) -> None:
        try:
            super().close()
        except OSError:
            self.handleError(None)
