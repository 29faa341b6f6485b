"""A worker of the pool: trains the cells that it is sent, one after the other."""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.sweep.engines import packing

if TYPE_CHECKING:
    from ablate.process.interrupt import StopRequest
    from ablate.sweep.engines.similar import Similar
    from ablate.training.progress import Epoch, Within


OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell.

    status  finished, diverged, stopped, failed, interrupted, invalid, taken (another process trains the cell), or
            OUT_OF_MEMORY (of a GPU, or the kernel has killed the worker, as it does if its own runs out)
    reason  why, unless the cell has a result
    """

    status: str
    reason: str | None = None


def serve(connection: Connection, threads: int, environment: dict[str, str], log: Path) -> None:
    """Receive lists of overrides on `connection`, each with the number of workers that share its GPU, or None on the
    CPU, and train each, until it is closed. Sends ("epoch", Epoch), in long epochs ("within", Within), and ("ended",
    Outcome).

    threads      the number of threads, unless a cell sets its own
    environment  variables that are added to the server process's
    log          the file for what this process prints; removed if it is empty

    If the parent process dies, the worker saves its run and ends.
    """
    os.setpgid(0, 0)  # Ctrl-C goes to the parent, which passes it to its workers
    os.environ.update(environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

    import torch

    from ablate.configuration.resolvers import register_resolvers
    from ablate.process import streams
    from ablate.process.interrupt import StopRequest
    from ablate.sweep.engines.similar import Similar
    from ablate.training import tracking

    streams.hold()
    torch.set_num_threads(threads)
    register_resolvers()
    compose = Similar()
    stop = StopRequest()
    stop.listen()
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    while stop.signum is None:
        try:
            overrides, sharing = connection.recv()
            connection.send(("ended", _outcome(overrides, sharing, stop, connection, compose)))
        except (EOFError, BrokenPipeError):
            break
    tracking.close()
    sys.stdout.flush()
    if log.stat().st_size == 0:
        log.unlink()


def _send(connection: Connection, kind: str, seen: "Epoch | Within") -> None:
    with suppress(OSError):  # the parent has died: the run must continue for a moment, to save its state
        connection.send((kind, seen))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _limit_memory(sharing: int) -> None:
    """Let torch allocate one share of the GPU's memory of so many, in place of the share before."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(packing.share(sharing, total))


def _outcome(
    overrides: list[str], sharing: int | None, stop: "StopRequest", connection: Connection, compose: "Similar"
) -> Outcome:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from ablate.configuration.composition import Composition
    from ablate.configuration.refusals.wording import explained
    from ablate.errors import InputError, described, is_full, is_out_of_gpu_memory
    from ablate.process.interrupt import Interrupted, LostError, OutOfTimeError
    from ablate.runs import cell
    from ablate.runs.lease import TakenError
    from ablate.training.progress import EpochLines

    stop.lost = False
    try:
        if sharing is not None:
            _limit_memory(sharing)
        prepared = cell.prepare(Composition.of(overrides, compose))
        show, tell = partial(_send, connection, "epoch"), partial(_send, connection, "within")
        record, _ = cell.run(prepared, stop, lambda bar: EpochLines(show, tell))
        return Outcome(record.status)
    except (TakenError, LostError) as error:
        return Outcome("taken", str(error))
    except (InputError, HydraException, OmegaConfBaseException) as error:
        return Outcome("invalid", explained(error))
    except OutOfTimeError as error:
        return Outcome("interrupted", str(error))
    except Interrupted:
        return Outcome("interrupted", "stopped by a signal, its state saved")
    except Exception as error:
        if is_out_of_gpu_memory(error):
            return Outcome(OUT_OF_MEMORY, described(error))
        if is_full(error):  # not the cell's fault: it resumes once there is room
            return Outcome("interrupted", str(error))
        return Outcome("failed", described(error))
