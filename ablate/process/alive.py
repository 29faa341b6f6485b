"""Whether the process that claimed a run still lives: by its process id, or by when it last touched its claim."""

import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any


def machine() -> str:
    """A name for this boot of this machine and this container: process ids are comparable where it is equal."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def is_gone(known: dict[str, Any]) -> bool:
    """Whether the process that `known` describes ran on this machine and has ended. False if that cannot be told."""
    pid = known.get("pid")
    if known.get("machine") != machine() or not isinstance(pid, int):
        return False
    since = started(pid)
    return not _exists(pid) if since is None else since != known.get("started")


def started(pid: int) -> str | None:
    """When a process of this machine started, in clock ticks since boot: it tells the process from a later one with the
    same id. `dead` for a zombie, None if /proc does not show the process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> bool:
    """Whether a process has this id. Also works where /proc hides other users' processes."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def touched(path: Path) -> int:
    """When the claim in the folder `path` was last touched, in nanoseconds of the file system's clock."""
    held = path / "holder"
    return (held if held.exists() else path).stat().st_mtime_ns


def age(path: Path) -> float:
    """Seconds since the claim was last touched. Hosts' clocks may differ, so the time now is the file system's: that of
    a new file. Where none can be written, it is this host's."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent) as probe:
            now = Path(probe.name).stat().st_mtime_ns
    except OSError:
        now = time.time_ns()
    return (now - touched(path)) / 1e9
