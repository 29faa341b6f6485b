"""The processes of one run: this one is the first, and starts the others."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch.distributed
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from ablate.errors import InputError

# What launchers (torchrun, Slurm, LSF) say to their processes, and Lightning and torch believe unasked.
INHERITED = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_LOCALID", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK"),
    *("TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"),
)
REFUSALS = "ABLATE_REFUSALS"  # the file descriptor at which the other processes say what they refuse
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK")


@contextmanager
def first_of(directory: Path, devices: int, resume_from: Path | None) -> Iterator[None]:
    """For the block this process is rank 0 of the run in `directory`, on `devices` devices, with its other ranks.

    A run starts its processes itself. What the environment says of ranks is about another group of processes, such as
    the tasks of the `srun` that has started a sweep: it is out of the environment for the block.
    """
    inherited = {name: os.environ.pop(name) for name in INHERITED if name in os.environ}
    # Lightning took it from the environment when it was imported.
    rank_zero_only.rank = 0  # type: ignore[attr-defined]
    try:
        with _others(directory, devices, resume_from) if devices > 1 else nullcontext():
            yield
    finally:
        os.environ.update(inherited)


@contextmanager
def refusals_told() -> Iterator[None]:
    """In a process other than the first: what is refused in the block the first one says, and this one just ends."""
    try:
        yield
    except InputError as error:
        os.write(int(os.environ[REFUSALS]), f"{error}\0".encode())
        os._exit(1)  # at once: the others wait for this one in the middle of a step


def _refusal(reading: int) -> str:
    """What the first of the other processes to refuse something has said; empty where none has."""
    try:
        return os.read(reading, 2**16).decode(errors="replace").partition("\0")[0]
    except BlockingIOError:
        return ""


@contextmanager
def _others(directory: Path, devices: int, resume_from: Path | None) -> Iterator[None]:
    """Ranks 1 … devices - 1 of the run, started as `python -m ablate.training.run`.

    Lightning would start them by repeating this process's command line, which in a multirun or a worker is
    not this run's; it takes them as given when the environment holds LOCAL_RANK. They end with the block: in
    their own time where it succeeds, at once where it does not. What one of them refuses is this process's refusal.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = dict(zip(VARIABLES, ("127.0.0.1", str(port), str(devices), "0", "0"), strict=True))
    os.environ.update(values)
    command = [sys.executable, "-m", "ablate.training.run", str(directory), str(resume_from or "")]
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    told = {REFUSALS: str(writing)}
    others = [
        subprocess.Popen(command, env={**os.environ, **told, "LOCAL_RANK": str(rank)}, pass_fds=[writing])
        for rank in range(1, devices)
    ]
    try:
        yield
        for process in others:
            process.wait()
    except Exception as error:
        if refusal := _refusal(reading):
            raise InputError(refusal) from error
        raise
    finally:
        os.close(reading)
        os.close(writing)
        for process in others:
            if process.poll() is None:
                process.kill()
                process.wait()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in VARIABLES:
            os.environ.pop(name, None)
