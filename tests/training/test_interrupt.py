"""Signals: which of them ends a run, and who else hears of it."""

import signal

import pytest

from ablate.process.interrupt import Interrupted, StopRequest, stop_request
from ablate.runs import cell, record
from ablate.training.gradients.recorder import StepRecorder


@pytest.mark.parametrize(
    ("arriving", "counts"),
    [
        ([signal.SIGTERM], signal.SIGTERM),
        ([signal.SIGTERM, signal.SIGUSR2], signal.SIGUSR2),
        ([signal.SIGUSR2, signal.SIGTERM, signal.SIGTERM], signal.SIGUSR2),
        ([signal.SIGUSR1], signal.SIGUSR1),
        ([signal.SIGHUP, signal.SIGHUP], signal.SIGHUP),  # from the kernel and from the shell
        ([signal.SIGTERM, signal.SIGHUP], signal.SIGTERM),  # systemd, of a session that ends
        ([signal.SIGHUP, signal.SIGTERM], signal.SIGTERM),
        ([signal.SIGUSR2, signal.SIGHUP], signal.SIGUSR2),
    ],
)
def test_a_notice_stands_beside_sigterm(arriving, counts):
    request = StopRequest()
    for signum in arriving:
        request.handle(signum, None)
    assert request.signum == counts


def test_whoever_listened_before_gets_the_signal_once_the_run_is_recorded(prepared, monkeypatch):
    small = prepared("trainer.max_epochs=3")
    original = StepRecorder.on_before_optimizer_step

    def preempted(self, trainer, pl_module, optimizer):  # type: ignore[no-untyped-def]
        original(self, trainer, pl_module, optimizer)
        if trainer.global_step == 4:
            signal.raise_signal(signal.SIGUSR2)

    monkeypatch.setattr(StepRecorder, "on_before_optimizer_step", preempted)
    heard = []

    def requeue(signum, frame):  # type: ignore[no-untyped-def]
        saved = max(path.name for path in (small.directory / "checkpoints").iterdir())
        heard.append((signum, record.read(small.directory).status, saved, signal.getsignal(signum)))

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(Interrupted):
            cell.run(small)
        assert signal.getsignal(signal.SIGUSR2) is requeue
    finally:
        signal.signal(signal.SIGUSR2, before)
    # Requeuing a job sends it the signal again: that one is ignored.
    assert heard == [(signal.SIGUSR2, "interrupted", "step-000000005.ckpt", signal.SIG_IGN)]


def test_ctrl_c_is_not_handed_on():
    with pytest.raises(Interrupted), stop_request():
        raise Interrupted(signal.SIGINT)


def test_under_nohup_a_closed_terminal_is_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_request() as request:
            signal.raise_signal(signal.SIGHUP)
            assert request.signum is None
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with stop_request() as request:
            signal.raise_signal(signal.SIGHUP)
            assert request.signum == signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)
