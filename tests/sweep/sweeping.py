"""Small sweeps as processes of their own, and what they leave."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tests import process

FIXED = {
    "model.stages": [1, 1, 1],
    "model.widths": [4, 8, 8],
    "data.batch_size": 128,
    "schedule.warmup.fraction": 0.0,
    "trainer.max_epochs": 2,
    "threads": 1,
    "gradient_norms.pictures": False,
    "trainer": "cpu",
}


def write_sweep(path: Path, **parameters: Any) -> Path:
    """A grid of the lists among `parameters`, all else fixed."""
    written = {
        name.replace("__", "."): {"values" if isinstance(value, list) else "value": value}
        for name, value in parameters.items()
    }
    fixed = {name: {"value": value} for name, value in FIXED.items() if name not in written}
    path.write_text(yaml.safe_dump({"method": "grid", "parameters": written | fixed}, sort_keys=False))
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ablate", *arguments]


def ablate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # `timeout` is not a bound on speed: a test that hangs ends
    return process.run(command(*arguments), cwd=folder, env=os.environ | environment, text=True, timeout=1200)


def start(folder: Path, *arguments: str) -> process.Process:
    return process.Process(command(*arguments), cwd=folder, stderr=subprocess.STDOUT)


def records(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/run.json"))}


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass")


def workers_of(pid: int) -> list[int]:
    """The processes that a sweep has for its cells, forked from a server of its own."""
    return [worker for server in children(pid) if "forkserver" in name_of(server) for worker in children(server)]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def name_of(pid: int) -> str:
    """Its command line, and the name that a process of tests/process.py has instead of one."""
    return Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/comm").read_text()


def tables(directory: Path) -> list[list[tuple[Any, ...]]]:
    names = ("metrics.parquet", "gradient_norms.parquet")
    return [sorted(map(repr, pq.read_table(directory / name).to_pylist())) for name in names]
