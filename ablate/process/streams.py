"""Standard streams and log files whose write errors do not end a run: a closed pipe, a lost terminal, a full disk."""

import atexit
import errno
import io
import logging
import os
import sys

_LATER = (errno.ENOSPC, errno.EDQUOT)  # a full disk, which may have room again


class _Lasting(io.TextIOWrapper):
    """A text stream on a file descriptor. Text that cannot be written is dropped."""

    notice: "_Lasting | None" = None  # of all of them: the one on which a notice stands that the next text replaces

    def write(self, text: str) -> int:
        self._clear()
        return self._written(text)

    def _clear(self) -> None:
        if (on := _Lasting.notice) is not None:
            _Lasting.notice = None
            on._written("\r\x1b[K")
            on.flush()

    def _written(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._on_error(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._on_error(error)

    def end(self) -> None:
        """Flush before the interpreter does, which would report an error."""
        self._clear()
        try:
            super().flush()
        except OSError:
            self._point_at_nothing()

    def _on_error(self, error: OSError) -> None:
        if error.errno not in _LATER:
            self._point_at_nothing()

    def _point_at_nothing(self) -> None:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)


def hold() -> None:
    """Make the three standard streams safe for a process that was started without them, or may lose them.

    If descriptor 0, 1 or 2 is closed, the next file to be opened gets its number, and with it what is printed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue  # already replaced, for example by pytest
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


def notice(text: str) -> None:
    """Show a line on the terminal until anything else is printed; nothing where the output is not on a terminal."""
    streams = (sys.stdout, sys.stderr)
    if all(isinstance(stream, _Lasting) and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb":
        print(text, end="", file=sys.stderr, flush=True)
        _Lasting.notice = sys.stderr  # type: ignore[assignment]


class LastingLog(logging.FileHandler):
    """A log file. If a line cannot be written, it is lost, a warning is printed once, and the run continues."""

    _warned = False

    def handleError(self, record: logging.LogRecord | None) -> None:  # noqa: N802
        if not self._warned:
            print(f"ablate: {self.baseFilename} is not complete: {sys.exc_info()[1]}.", file=sys.stderr)
        self._warned = True

    def close(self) -> None:
        try:
            super().close()
        except OSError:
            self.handleError(None)
