"""Whether the process that left its number in a file still runs: by its number, or by the clock."""

import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any


def machine() -> str:
    """This boot of this machine, and the container within it: where process numbers mean the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def is_gone(known: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine, and is no more."""
    pid = known.get("pid")
    if known.get("machine") != machine() or not isinstance(pid, int):
        return False
    since = started(pid)
    return not _answers(pid) if since is None else since != known.get("started")


def started(pid: int) -> str | None:
    """When a process of this machine started, which tells it from a later one of that number; `dead` for one that
    has ended and whose parent has not asked yet; None where that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]


def _answers(pid: int) -> bool:
    """Whether some process has this number, which a system that hides others' processes tells too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def touched(path: Path) -> int:
    """When a claim was last touched, in nanoseconds of the file system's clock."""
    held = path / "holder"
    return (held if held.exists() else path).stat().st_mtime_ns


def age(path: Path) -> float:
    """Seconds since the last touch, by the file system's own clock where one may write there: hosts need not agree
    on the time."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent) as probe:
            now = Path(probe.name).stat().st_mtime_ns
    except OSError:
        now = time.time_ns()
    return (now - touched(path)) / 1e9
