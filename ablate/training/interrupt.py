"""Stopping in order: a signal asks, the training loop stops at a place from which it can go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state. `signum` is the signal; the exit code 128 + signum."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class LostError(Exception):
    """Another process has taken this run over while this one was asleep: it must stop, and write no more."""


class StopRequest:
    """Whether SIGINT (Ctrl-C) or SIGTERM has arrived. The second one ends the process at once.

    `lose` is called by whoever notices that the run belongs to another process now.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.lost = False

    def lose(self) -> None:
        self.lost = True

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        self.signum = signum

    def listen(self) -> None:
        """Take the two signals. Again after Lightning, which puts its own handler on SIGTERM."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self.handle)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A request that listens for the length of the block."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    request = StopRequest()
    request.listen()
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
