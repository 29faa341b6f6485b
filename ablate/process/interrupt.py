"""Stopping cleanly: a signal makes a request, and the training loop stops where it can resume."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state. The exit code is 128 + `signum`, the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class OutOfTimeError(Exception):
    """The run's time is over, and its state is saved. The other runs of a multirun continue."""


class LostError(Exception):
    """Another process took this run over while this process was asleep. This one must stop and write nothing."""


# What a batch system sends before it takes the machine away. The other signals come from a person or a script.
NOTICES = (signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *NOTICES)


def taken(signals: Sequence[signal.Signals]) -> list[signal.Signals]:
    """Those of `signals` to listen to. Under `nohup`, SIGHUP is ignored, and stays so."""
    return [one for one in signals if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]


class StopRequest:
    """Remembers which of `SIGNALS` has arrived: Ctrl-C, SIGTERM, a closed terminal, a batch system's notice.

    A second Ctrl-C or SIGTERM ends the process at once. A second SIGHUP does not: kernel, shell and systemd may each
    send one. A notice is kept whatever follows, since it decides whether the job is requeued (Slurm sends SIGTERM too,
    before or after it).

    Whoever notices that another process has taken over the run calls `lose`.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.lost = False

    def lose(self) -> None:
        self.lost = True

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if signum in NOTICES or self.signum in (None, signal.SIGHUP):
            self.signum = signum
        elif signum != signal.SIGHUP and self.signum not in NOTICES:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)

    def listen(self) -> None:
        """Install the handler. Call it again once Lightning has replaced the one for SIGTERM by its own."""
        for signum in taken(SIGNALS):
            signal.signal(signum, self.handle)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A request that listens while the block runs.

    If the block is interrupted, the handler that was there before gets the signal too. submitit's requeues its job.
    """
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    request = StopRequest()
    request.listen()
    stopped_by = None
    try:
        yield request
    except Interrupted as stop:
        stopped_by = stop.signum
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        if stopped_by is not None:
            _pass_on(stopped_by)


def _pass_on(signum: int) -> None:
    handler = signal.getsignal(signum)
    if signum == signal.SIGINT or not callable(handler):
        return
    signal.signal(signum, signal.SIG_IGN)  # Slurm sends it again while a requeued job ends
    handler(signum, None)
    signal.signal(signum, handler)
