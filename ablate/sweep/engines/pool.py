"""Runs cells on this machine, in worker processes that train one cell after the other."""

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
from ablate.runs.lease import ASK_AGAIN, holder
from ablate.sweep.engines import packing
from ablate.sweep.engines.pool_worker import OUT_OF_MEMORY, Outcome, serve
from ablate.sweep.engines.trial import measured
from ablate.sweep.plan import PlannedCell

# If a worker dies, its cell is tried again. If that worker dies too, the cell counts as failed.
TRIES = 2

# Why workers become fewer.
FULL = "out of memory beside others"
KILLED = "its worker was killed beside others, as the kernel does if memory runs out"

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Workers are forked from a server process that has only imported what they need.
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["ablate.sweep.engines.pool_server"])


def trial(values: dict[str, Any], device: str) -> packing.Trial:
    """How fast a cell's steps are on one GPU (in the form of CUDA_VISIBLE_DEVICES), alone and two at a time. Raises
    NoTrialError."""
    return measured(values, {"CUDA_VISIBLE_DEVICES": device}, _FORKED)


def prepare() -> None:
    """Start the server process. Its imports take seconds, during which this process can do other things."""
    forkserver.ensure_running()


class View(Protocol):
    """Shows a sweep while it runs. The pool calls these methods."""

    def started(self, cell: PlannedCell) -> None: ...
    def epoch(self, cell: PlannedCell, epoch: Any) -> None: ...
    def within(self, cell: PlannedCell, within: Any) -> None:
        """How far the cell is within an epoch that takes long."""

    def ended(self, cell: PlannedCell) -> None:
        """The cell has ended; its status and reason say how."""

    def taken(self, cell: PlannedCell) -> None:
        """Another process trains the cell; the pool checks it again later."""

    def waiting(self, cells: Sequence[PlannedCell]) -> None:
        """Only these cells are left, and other processes train them."""

    def fewer(self, cell: PlannedCell, why: str, workers: int) -> None:
        """The memory did not suffice for the cell beside others. It is tried again, with so many workers left.

        why  FULL or KILLED
        """

    def stopping(self) -> None: ...


class Stopped(BaseException):
    """A signal, `signum`, has ended the pool. The runs have saved their state."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Pool:
    """A pool of worker processes.

    workers  the number of processes
    threads  the threads of each, unless a cell sets its own
    gpus     for each worker, its devices in the form of CUDA_VISIBLE_DEVICES; empty on the CPU
    logs     the folder for what the workers print
    """

    view: View

    def __init__(self, workers: int, threads: int, gpus: Sequence[str], logs: Path) -> None:
        self.workers, self.threads, self.gpus, self.logs = workers, threads, gpus, logs
        self.signum: int | None = None
        self._slots: list[_Slot] = []
        self._queue: list[PlannedCell] = []
        self._taken: list[PlannedCell] = []
        self._places: dict[Path, str | None] = {}  # the devices of cells that did not fit beside others there
        self._deaths: dict[Path, int] = {}
        self._ended: set[Path] = set()  # directories of cells that have ended, other than by an interruption

    def run(self, cells: Sequence[PlannedCell], view: View) -> None:
        """Run every cell, update it with its outcome, and show it.

        A worker that dies is replaced. Cells that other processes train are waited for. On one of SIGNALS, the runs
        save their state and end; then Stopped is raised, unless all cells had ended already. On a second signal the
        workers are killed.
        """
        self._queue, self.view = list(cells), view
        with self._listening():
            try:
                self._slots += [_Slot(self, number) for number in range(min(self.workers, len(cells)))]
                while self._has_work():
                    self._assign()
                    if self._taken and not self._busy():
                        view.waiting(self._taken)
                    for slot, cell, message in self._messages():
                        self._handle(slot, cell, message)
            finally:
                for slot in self._slots:
                    slot.close()
        if self.signum is not None and not self._ended.issuperset(cell.directory for cell in cells):
            raise Stopped(self.signum)

    def _busy(self) -> bool:
        return any(slot.cell for slot in self._slots)

    def _has_work(self) -> bool:
        """Whether a cell is running, or is left to run."""
        return self._busy() or (self.signum is None and bool(self._queue or self._taken))

    def _assign(self) -> None:
        """Give cells to free workers."""
        if self.signum is not None:
            return
        free = [cell for cell in self._taken if holder(cell.directory) is None]
        self._taken = [cell for cell in self._taken if cell not in free]
        self._queue += free
        for slot in self._slots:
            while slot.cell is None and (cell := self._next(slot)) is not None:
                if status := cell.ended_elsewhere():
                    self._end(cell, Outcome(status))
                else:
                    slot.start(cell)
                    self.view.started(cell)

    def _next(self, slot: "_Slot") -> PlannedCell | None:
        """Take the first cell that the slot may train. One that did not fit beside others stays with its GPU: on each
        other one it would make the workers fewer too."""
        for at, cell in enumerate(self._queue):
            if self._places.get(cell.directory, slot.devices) == slot.devices:
                return self._queue.pop(at)
        return None

    def _end(self, cell: PlannedCell, outcome: Outcome) -> None:
        if outcome.status != "interrupted":
            self._ended.add(cell.directory)
        cell.heard(outcome.status, outcome.reason)
        self.view.ended(cell)

    def _handle(self, slot: "_Slot", cell: PlannedCell, message: Any) -> None:
        """Handle a worker's message about its cell. None means that the worker has died."""
        if message is not None and message[0] == "epoch":
            self.view.epoch(cell, message[1])
            return
        if message is not None and message[0] == "within":
            self.view.within(cell, message[1])
            return
        outcome, slot.cell = slot.outcome_of_death() if message is None else message[1], None
        if outcome.status == OUT_OF_MEMORY and slot.shared and self.signum is None:
            self._lower(slot)
            self._places[cell.directory] = slot.devices
            self._queue.append(cell)
            self.view.fewer(cell, KILLED if message is None else FULL, len(self._slots))
            return
        if message is None and self.signum is None:
            died = self._deaths[cell.directory] = self._deaths.get(cell.directory, 0) + 1
            if died < TRIES:
                self._queue.append(cell)
                return
        if outcome.status == OUT_OF_MEMORY:
            outcome = Outcome("failed", outcome.reason)
        if outcome.status == "taken":
            self._taken.append(cell)
            self.view.taken(cell)
        else:
            self._end(cell, outcome)

    def sharing(self, slot: "_Slot") -> int:
        """How many workers use the slot's devices: all on the CPU, those of the same GPU otherwise."""
        return sum(other.devices == slot.devices for other in self._slots)

    def _lower(self, slot: "_Slot") -> None:
        """Give up a slot, unless it is the last one of its devices, which gets a new process with empty memory."""
        slot.close()
        if self.sharing(slot) > 1:
            self._slots.remove(slot)
        else:
            slot.restart()

    def _messages(self) -> Iterator[tuple["_Slot", PlannedCell, Any]]:
        """The messages that workers have sent about their cells; None for a worker that has died."""
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
            return  # a closed terminal sends it twice
        again, self.signum = self.signum is not None, signum
        if not again:
            self.view.stopping()
        for slot in self._slots:
            if again:
                slot.process.kill()
            elif slot.process.is_alive() and slot.process.pid:
                os.kill(slot.process.pid, signal.SIGTERM)


class _Slot:
    """One worker process and the cell that it trains. A process that has died is replaced.

    devices  in the form of CUDA_VISIBLE_DEVICES; None on the CPU
    shared   whether other workers had the same GPU when the cell was started
    """

    def __init__(self, pool: Pool, number: int) -> None:
        self.pool, self.number = pool, number
        self.devices = pool.gpus[number] if pool.gpus else None
        self.cell: PlannedCell | None = None
        self.shared = False
        self.restart()

    def restart(self) -> None:
        """Start a process; the one before has ended."""
        self.connection: Connection
        self.connection, workers_end = _FORKED.Pipe()
        environment = dict(os.environ)
        if self.devices is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices
        self.log = self.pool.logs / f"worker-{os.getpid()}-{self.number}.log"
        arguments = (workers_end, self.pool.threads, environment, self.log)
        self.process: BaseProcess = _FORKED.Process(target=serve, args=arguments, daemon=False)
        self.process.start()
        workers_end.close()

    def start(self, cell: PlannedCell) -> None:
        self.cell = cell
        if not self.process.is_alive():
            self.connection.close()
            self.restart()
        sharing = self.pool.sharing(self)
        self.shared = sharing > 1 and self.devices is not None
        with suppress(OSError):  # if it has just died, `_messages` notices
            self.connection.send((cell.told, sharing if cell.on_gpu else None))

    def received(self) -> Any:
        """The worker's next message; None if it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def outcome_of_death(self) -> Outcome:
        """The outcome of a cell whose worker has died."""
        self.process.join()
        if self.pool.signum is not None:
            return Outcome("interrupted", "stopped by a signal")
        code = self.process.exitcode or 0
        cause = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        killed = code == -signal.SIGKILL
        hint = " (the kernel does that if memory runs out: use fewer hydra.launcher.workers)" if killed else ""
        reason = f"the worker process was ended {cause}{hint}; its output: {self.log}"
        return Outcome(OUT_OF_MEMORY if killed else "failed", reason)

    def close(self) -> None:
        """Let an idle worker end, and kill it if it does not."""
        self.connection.close()
        self.process.join(30)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
