"""Times a cell's training steps on a GPU: in one process alone, then in two at a time."""

import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ablate.errors import reason
from ablate.sweep.engines.packing import CONTEXT, Trial

WARM_UP = 5  # steps, in which kernels are chosen and memory is reserved
SECONDS = 2.0  # of a timing
TOGETHER = 8  # steps between two looks at the clock: a GPU is waited for only then
PATIENCE = 120.0  # seconds for an answer
COMPILING = 1200.0  # seconds in which a network is compiled: as long as a cell's would be


class NoTrialError(Exception):
    """The cell cannot be timed; the message says why."""


def measured(values: dict[str, Any], environment: dict[str, str], context: Any) -> Trial:
    """The trial of a cell with the resolved `values`.

    environment  variables of its processes, by which they see one GPU
    context      of multiprocessing, which makes processes that have not used a GPU

    Raises NoTrialError if the cell fails, as for data that are not here.
    """
    processes, ends = [], []
    try:
        for _ in range(2):
            ours, theirs = context.Pipe()
            processes.append(context.Process(target=serve, args=(theirs, environment, values), daemon=True))
            processes[-1].start()
            theirs.close()
            ends.append(ours)
        first, second = ends
        loading = PATIENCE if values["compile"] is None else PATIENCE + COMPILING
        free, peak = _answer(first, "load", loading)
        one = _answer(first, "run")
        _answer(second, "load", loading)
        for end in ends:
            end.send("run")
        two = sum(_answer(end) for end in ends)
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
    return Trial(free, peak, one, two)


def _answer(end: Connection, question: str | None = None, patience: float = PATIENCE) -> Any:
    try:
        if question is not None:
            end.send(question)
        if not end.poll(patience):
            raise NoTrialError(f"no answer in {patience:.0f} s")
        failure, answer = end.recv()
    except (EOFError, OSError) as error:
        raise NoTrialError("its process has died") from error
    if failure is not None:
        raise NoTrialError(failure)
    return answer


def serve(connection: Connection, environment: dict[str, str], values: dict[str, Any]) -> None:
    """Answer `load` with free and needed bytes, and `run` with steps per second, until the connection is closed. An
    answer is (None, answer), or (why it failed, None)."""
    os.environ.update(environment)
    step: Callable[[], None] | None = None
    while True:
        try:
            question = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if question == "load":
                step, answer = _loaded(values)
                connection.send((None, answer))
            elif step is not None:
                connection.send((None, _rate(step)))
        except Exception as error:  # whatever the cell's network or data raise, the sweep runs it, and reports it there
            connection.send((reason(error), None))


def _loaded(values: dict[str, Any]) -> tuple[Callable[[], None], tuple[int, int]]:
    import torch
    from omegaconf import OmegaConf

    from ablate.sweep.timing import training
    from ablate.training.run import set_numerics

    on_gpu = values["trainer"]["accelerator"] == "gpu"
    free = torch.cuda.mem_get_info()[0] + CONTEXT if on_gpu else 0  # the context of this process is there already
    set_numerics(OmegaConf.create(values))
    found = training(values, compiled=True)
    if found is None:
        raise NoTrialError("its data come from a module of its own")
    for _ in range(WARM_UP):
        found.step()
    _wait()
    return found.step, (free, torch.cuda.max_memory_reserved() if on_gpu else 0)


def _rate(step: Callable[[], None]) -> float:
    """Steps per second."""
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS:
        for _ in range(TOGETHER):
            step()
        _wait()
        count += TOGETHER
    return count / seconds


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
