"""The processes (ranks) of a run on several devices: this one is rank 0 and starts the others."""

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

# Launchers (torchrun, Slurm, LSF) set these for their processes; Lightning and torch read them.
INHERITED = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_LOCALID", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_LOCAL_RANK"),
    *("TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"),
)
REFUSALS = "ABLATE_REFUSALS"  # names the file descriptor to which ranks above 0 write their InputError
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", "LOCAL_RANK")


@contextmanager
def first_of(directory: Path, devices: int, resume_from: Path | None) -> Iterator[None]:
    """While the block runs, this process is rank 0 of the run in `directory`; the other ranks run beside it.

    A run starts its ranks itself, one for each of `devices`. Rank variables in the environment belong to another group
    of processes, such as the tasks of the `srun` that started a sweep, so they are removed while the block runs.
    """
    inherited = {name: os.environ.pop(name) for name in INHERITED if name in os.environ}
    # Lightning read it from the environment when it was imported.
    rank_zero_only.rank = 0  # type: ignore[attr-defined]
    try:
        with _others(directory, devices, resume_from) if devices > 1 else nullcontext():
            yield
    finally:
        os.environ.update(inherited)


@contextmanager
def refusals_told() -> Iterator[None]:
    """In a rank above 0: send an InputError of the block to rank 0, which reports it, and end this process."""
    try:
        yield
    except InputError as error:
        os.write(int(os.environ[REFUSALS]), f"{error}\0".encode())
        os._exit(1)  # at once: the others wait for this one in the middle of a step


def _refusal(reading: int) -> str:
    """The first InputError that another rank has sent; empty if none has."""
    try:
        return os.read(reading, 2**16).decode(errors="replace").partition("\0")[0]
    except BlockingIOError:
        return ""


@contextmanager
def _others(directory: Path, devices: int, resume_from: Path | None) -> Iterator[None]:
    """Start ranks 1 … devices - 1 of the run as `python -m ablate.training.run`, and end them with the block.

    Lightning would start them by repeating this process's command line, which in a multirun or a worker is not this
    run's. It does not start any if LOCAL_RANK is set. If the block succeeds, the ranks are waited for; if it fails,
    they are killed. An InputError of a rank is raised here.
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
