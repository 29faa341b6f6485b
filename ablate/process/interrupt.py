"""Stopping in order: a signal asks, and the training loop stops where it can resume."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state. `signum` is the signal; the exit code 128 + signum."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class OutOfTimeError(Exception):
    """The run's time is over, and its state is saved. The other runs of a multirun continue."""


class LostError(Exception):
    """Another process took this run over while this process was asleep. This one must stop and write nothing."""


# A batch system's word that it will take the machine away: a person or a script sends the others.
NOTICES = (signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *NOTICES)


def taken(signals: Sequence[signal.Signals]) -> list[signal.Signals]:
    """Those of `signals` to listen to: under `nohup` a closed terminal is to be nothing."""
    return [one for one in signals if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]


class StopRequest:
    """Whether one of `SIGNALS` has arrived: Ctrl-C, a polite kill, a terminal that was closed, a batch system's notice.

    The second Ctrl-C, or SIGTERM, ends the process at once. SIGHUP never does: kernel, shell and systemd may each send
    it. A notice stands whatever follows it (Slurm sends SIGTERM too, before or after), since it decides whether the job
    is started again.

    `lose` is called by whoever notices that the run belongs to another process now.
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
        """Take the signals. Again after Lightning, which puts its own handler on SIGTERM."""
        for signum in taken(SIGNALS):
            signal.signal(signum, self.handle)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A request that listens for the length of the block.

    After an interrupted block whoever listened before gets the signal: in a job of submitit's, this requeues the job.
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
            _hand_on(stopped_by)


def _hand_on(signum: int) -> None:
    handler = signal.getsignal(signum)
    if signum == signal.SIGINT or not callable(handler):
        return
    signal.signal(signum, signal.SIG_IGN)  # a requeued job gets it once more while it ends
    handler(signum, None)
    signal.signal(signum, handler)
