"""Cells on this machine: worker processes that stay alive from one cell to the next."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from ablate.process.interrupt import taken
from ablate.runs.lease import holder
from ablate.sweep.engines.pool_worker import Outcome, serve
from ablate.sweep.plan import PlannedCell

# A worker that dies takes its cell with it once; the second time it is the cell's fault.
TRIES = 2
ASK_AGAIN = 2.0  # seconds from one look at cells that other processes train to the next

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Workers are forked from a process that has imported what they need and done nothing else.
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["ablate.sweep.engines.pool_server"])


def prepare() -> None:
    """Let that process begin with its imports, which take seconds, while this one has other things to do."""
    forkserver.ensure_running()


class View(Protocol):
    """What is shown of a sweep while it runs."""

    def started(self, cell: PlannedCell) -> None: ...
    def epoch(self, cell: PlannedCell, epoch: Any) -> None: ...
    def ended(self, cell: PlannedCell) -> None:
        """What came of it stands in the cell."""

    def taken(self, cell: PlannedCell) -> None:
        """Another process trains it: it is looked at again."""

    def waiting(self, cells: Sequence[PlannedCell]) -> None:
        """All that is left are these, which other processes train."""

    def stopping(self) -> None: ...


class Stopped(BaseException):
    """A signal has ended the pool; the runs have saved their state. `signum` is the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Pool:
    """`workers` processes, each computing with `threads` threads; what they print lies below `logs`.

    gpus  the devices to share out, one group for each worker; none on the CPU
    """

    view: View

    def __init__(self, workers: int, threads: int | None, gpus: Sequence[str], logs: Path) -> None:
        self.workers, self.threads, self.gpus, self.logs = workers, threads, gpus, logs
        self.signum: int | None = None
        self._slots: list[_Slot] = []
        self._queue: list[PlannedCell] = []
        self._taken: list[PlannedCell] = []
        self._deaths: dict[Path, int] = {}
        self._ended: set[Path] = set()  # of cells that have come to their end, whatever that was, and not to a stop

    def run(self, cells: Sequence[PlannedCell], view: View) -> None:
        """Run every cell, write down what came of each, and show it.

        A worker that dies is replaced. A cell that another process trains is waited for. On one of SIGNALS the
        runs save and end, then Stopped is raised unless all had ended by themselves; on a second one the workers are
        killed.
        """
        self._queue, self.view = list(cells), view
        with self._listening():
            try:
                self._slots = [_Slot(self, number) for number in range(min(self.workers, len(cells)))]
                while self._left():
                    self._hand_out()
                    if self._taken and not self._busy():
                        view.waiting(self._taken)
                    for slot, cell, message in self._messages():
                        self._hear(slot, cell, message)
            finally:
                for slot in self._slots:
                    slot.close()
        if self.signum is not None and not self._ended.issuperset(cell.directory for cell in cells):
            raise Stopped(self.signum)

    def _busy(self) -> bool:
        return any(slot.cell for slot in self._slots)

    def _left(self) -> bool:
        """Whether there is anything to wait for."""
        return self._busy() or (self.signum is None and bool(self._queue or self._taken))

    def _hand_out(self) -> None:
        if self.signum is not None:
            return
        free = [cell for cell in self._taken if holder(cell.directory) is None]
        self._taken = [cell for cell in self._taken if cell not in free]
        self._queue += free
        for slot in self._slots:
            while self._queue and slot.cell is None:
                cell = self._queue.pop(0)
                if status := cell.ended_elsewhere():
                    self._end(cell, Outcome(status))
                else:
                    slot.start(cell)
                    self.view.started(cell)

    def _end(self, cell: PlannedCell, outcome: Outcome) -> None:
        if outcome.status != "interrupted":
            self._ended.add(cell.directory)
        cell.heard(outcome.status, outcome.reason)
        self.view.ended(cell)

    def _hear(self, slot: "_Slot", cell: PlannedCell, message: Any) -> None:
        """What a worker says of its cell; None is what a dead one says."""
        if message is None:
            outcome, slot.cell = slot.obituary(), None
            died = self._deaths[cell.directory] = self._deaths.get(cell.directory, 0) + 1
            if self.signum is None and died < TRIES:
                self._queue.append(cell)
                return
        elif message[0] == "epoch":
            self.view.epoch(cell, message[1])
            return
        else:
            outcome, slot.cell = message[1], None
        if outcome.status == "taken":
            self._taken.append(cell)
            self.view.taken(cell)
        else:
            self._end(cell, outcome)

    def _messages(self) -> Iterator[tuple["_Slot", PlannedCell, Any]]:
        """What the workers have sent of their cells; None from one that has died."""
        busy = [(slot, slot.cell) for slot in self._slots if slot.cell is not None]
        if not busy:
            time.sleep(ASK_AGAIN)
            return
        ready = wait([thing for slot, _ in busy for thing in (slot.connection, slot.process.sentinel)], ASK_AGAIN)
        for slot, cell in busy:
            if slot.connection in ready or slot.process.sentinel in ready:
                yield slot, cell, slot.received()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        before = {signum: signal.signal(signum, self._stop) for signum in taken(SIGNALS)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGHUP and self.signum is not None:
            return  # comes twice where a terminal is closed
        again, self.signum = self.signum is not None, signum
        if not again:
            self.view.stopping()
        for slot in self._slots:
            if again:
                slot.process.kill()
            elif slot.process.is_alive() and slot.process.pid:
                os.kill(slot.process.pid, signal.SIGTERM)


class _Slot:
    """A place for one worker process and the cell that it has."""

    def __init__(self, pool: Pool, number: int) -> None:
        self.pool, self.number = pool, number
        self.cell: PlannedCell | None = None
        self._start()

    def _start(self) -> None:
        self.connection: Connection
        self.connection, theirs = _FORKED.Pipe()
        environment = dict(os.environ)
        if self.pool.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.pool.gpus[self.number]
        self.log = self.pool.logs / f"worker-{os.getpid()}-{self.number}.log"
        told = (theirs, self.pool.threads, environment, self.log)
        self.process: BaseProcess = _FORKED.Process(target=serve, args=told, daemon=False)
        self.process.start()
        theirs.close()

    def start(self, cell: PlannedCell) -> None:
        self.cell = cell
        if not self.process.is_alive():
            self.connection.close()
            self._start()
        with suppress(OSError):  # dead this moment: nothing will be heard of it
            self.connection.send(cell.told)

    def received(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def obituary(self) -> Outcome:
        """What is said of a cell whose worker has died."""
        self.process.join()
        if self.pool.signum is not None:
            return Outcome("interrupted", "stopped by a signal")
        code = self.process.exitcode or 0
        cause = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = " (the kernel does that when memory runs out: fewer hydra.launcher.workers?)" if code == -9 else ""
        return Outcome("failed", f"the worker process ended {cause}{hint}; what it printed: {self.log}")

    def close(self) -> None:
        """Let an idle worker end; it has nothing left to save."""
        self.connection.close()
        self.process.join(30)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
