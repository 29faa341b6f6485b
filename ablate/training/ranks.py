"""The other processes of one run on several devices."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed

VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK")


def this_rank() -> int:
    """0 in the process that started the run; else its rank, told by the environment."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextmanager
def other_ranks(directory: Path, devices: int, resume_from: Path | None) -> Iterator[None]:
    """Ranks 1 … devices - 1 of the run in `directory`, started as `python -m ablate.training.run`.

    Lightning would start them by repeating this process's command line, which in a multirun or a worker is
    not this run's; it takes them as given when the environment holds LOCAL_RANK. They end with the block: in
    their own time where it succeeds, at once where it does not.
    """
    if devices == 1 or this_rank() > 0:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = dict(zip(VARIABLES, ("127.0.0.1", str(port), str(devices), "0", "0"), strict=True))
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(values)
    command = [sys.executable, "-m", "ablate.training.run", str(directory), str(resume_from or "")]
    others = [subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": str(rank)}) for rank in range(1, devices)]
    try:
        yield
        for process in others:
            process.wait()
    finally:
        for process in others:
            if process.poll() is None:
                process.kill()
                process.wait()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
