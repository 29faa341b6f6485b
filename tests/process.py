"""The command line in a process of its own, without the seconds that its imports take.

`run` and `Process` stand for `subprocess.run` and `subprocess.Popen` of `[sys.executable, "-m", …]` or
`[sys.executable, "-c", …]`. A server process, one for each worker of pytest, imports torch, Lightning, W&B and `ablate`
once. Each process is forked from it, before which nothing has run there. It has an id, a folder, an environment,
standard streams and an exit code of its own, can be killed, and ends as the interpreter does.

What the interpreter or a library reads at its start or import is that of the server, also the seed of Python's hashes.
So tests of imports, of variables that are read then (`FREE` lists those that are not), of closed streams and of the
order of sets start a real process.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from multiprocessing import util
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sklearn.datasets",
    "wandb.apis.public",
    *(f"ablate.commands.{name}" for name in ("check", "describe", "flow", "plan", "report", "sweep", "train")),
    "ablate.report.page",
    "ablate.runs.cell",
    "ablate.training.module",
    "requests",
)
# Variables that are read after all imports: a process may have others than the tests.
FREE = (
    *("WANDB_", "_WANDB_", "PYTHONPATH", "PATH", "HOME", "XDG_CACHE_HOME", "COLUMNS", "COMP_", "CUDA_VISIBLE_DEVICES"),
    *("ABLATE_", "KILL_AT"),
)
# Variables that a test's own imports and trainings set, which it passes on with os.environ: the server sets its own.
OWN = ("PYTEST_", "_WANDB_", "WANDB_", "HYDRA_FULL_ERROR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_", "LC_CTYPE")
NUMBER = struct.Struct("q")
LARGEST = 1 << 18  # bytes of a request


class Process:
    """A process that runs `python WORDS`, as `subprocess.Popen` has it, its output in files.

    command  [sys.executable, "-m" or "-c", …]
    stderr   subprocess.STDOUT: in one file with the standard output
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stderr: int = subprocess.PIPE,
        text: bool = True,
    ) -> None:
        assert command[0] == sys.executable and command[1] in ("-m", "-c"), command
        self.args, self.text, self.returncode = list(command), text, None
        environment = dict(os.environ if env is None else env)
        server, its = _server()
        other = {name for name in {*environment, *its} if environment.get(name) != its.get(name)}
        given = {name for name in other if not name.startswith(FREE)}
        read = sorted(name for name in given if not (name.startswith(OWN) and _is_inherited(name, environment)))
        assert not read, f"{read} may be read at the start or at an import: use subprocess"
        self._stdout = _file()
        self._stderr = self._stdout if stderr == subprocess.STDOUT else _file()
        self._answers, answers = os.pipe()
        request = json.dumps([self.args[1:], str(cwd or Path.cwd()), environment]).encode()
        assert len(request) < LARGEST
        socket.send_fds(server, [request], [self._stdout.fileno(), self._stderr.fileno(), answers])
        os.close(answers)
        self.pid = self._answer()

    def _answer(self) -> int:
        data = os.read(self._answers, NUMBER.size)
        assert data, "the server of tests/process.py has died"
        return int(NUMBER.unpack(data)[0])

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative if a signal has ended it. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(self._answer())
            os.close(self._answers)
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """What it has printed, once it has ended, and what it has said on its standard error unless that is one."""
        self.wait(timeout)
        return self._said(self._stdout), None if self._stderr is self._stdout else self._said(self._stderr)

    def _said(self, file: Any) -> Any:
        # Not by `read`, which would move the place where processes that it has left behind go on writing.
        data = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
        return data.decode() if self.text else data

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    command: Sequence[str],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    text: bool = False,
    capture_output: bool = True,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`. What a test that hangs has started is killed after `timeout` seconds."""
    process = Process(command, cwd, env, text=text)
    try:
        stdout, stderr = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def _is_inherited(name: str, environment: Mapping[str, str]) -> bool:
    """Whether a variable is as in this process, or is not there: the test has not set it."""
    return name not in environment or environment[name] == os.environ.get(name)


def _file() -> Any:
    return tempfile.TemporaryFile()


@cache
def _server() -> tuple[socket.socket, dict[str, str]]:
    """The server of this process, started now, and its environment. It ends with this process."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LARGEST)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    with its:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.process", str(its.fileno())],
            cwd=ROOT,
            env=environment,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours, environment


def serve(requests: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """Fork a process for each request. Returns only in these: what they shall do."""
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # so that no process copies these objects' memory to search it for garbage
    while True:
        message, files, *_ = socket.recv_fds(requests, LARGEST, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            if _kept(*files):
                return json.loads(message)
        for file in files:
            os.close(file)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _kept(stdout: int, stderr: int, answers: int) -> bool:
    """Fork the process itself, and wait for it: its id and how it ended are written to `answers`. True in the process.

    It waits in a process for each, since only a parent can.
    """
    if pid := os.fork():
        os.write(answers, NUMBER.pack(pid))
        os.write(answers, NUMBER.pack(os.waitpid(pid, 0)[1]))
        os._exit(0)
    for number, file in ((1, stdout), (2, stderr)):
        os.dup2(file, number)
    for file in (stdout, stderr, answers):
        os.close(file)
    return True


def become(words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what `python WORDS` does in this folder and environment."""
    import numpy as np

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder if words[0] == "-m" else ""
    sys.path[1:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.orig_argv[:] = [sys.executable, *words]
    sys.argv[:] = ["-c" if words[0] == "-c" else "", *words[2:]]
    np.random.seed()  # as in any new process; `random` does so by itself
    util.spawnv_passfds = _spawned
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(words[1], main.__dict__)


_spawn = util.spawnv_passfds


def _spawned(path: bytes, args: list[Any], passed: list[int]) -> int:
    """In place of multiprocessing's function: its fork server, from which a sweep forks workers, is forked too."""
    if "forkserver" not in args[-1]:
        return _spawn(path, args, passed)
    if (pid := os.fork()) == 0:
        _as_server(args[-1], passed)
    return pid


def _as_server(code: str, passed: list[int]) -> NoReturn:
    try:
        kept = {0, 1, 2, *passed}
        for name in list(Path("/proc/self/fd").iterdir()):
            if int(name.name) not in kept:
                with contextlib.suppress(OSError):  # the one that has listed them
                    os.close(int(name.name))
        Path("/proc/self/comm").write_text("forkserver")
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        exec(code, {})
    finally:
        os._exit(0)


if __name__ == "__main__":
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
