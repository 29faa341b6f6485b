"""How many processors this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OF_THIS_PROCESS = Path("/proc/self/cgroup")


def usable() -> int:
    """Cores that this process may run on, or that its container's quota comes to, rounded down, whichever is less.

    A container has all of its machine's cores to run on, and is put to sleep once it has used up its share of time:
    threads beyond that share wait for each other asleep. OMP_NUM_THREADS is ignored: many a profile sets it
    without meaning this, and the number of threads is part of a result, which `threads=` sets.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, math.floor(min(cores, _quota())))


def _quota() -> float:
    """The least quota of this process's control groups and those above them, in cores; infinite without one."""
    try:
        lines = OF_THIS_PROCESS.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux's
        return math.inf
    least = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, read = CGROUPS, _quota_of_2
        elif "cpu" in controllers.split(","):
            root, read = CGROUPS / "cpu", _quota_of_1
        else:
            continue
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            least = min(least, read(group))
            if group == root:
                break
    return least


def _quota_of_2(group: Path) -> float:
    """cpu.max of a control group of version 2: `max 100000`, or microseconds of each period."""
    quota, period = (_words(group / "cpu.max") or ["max", "100000"])[:2]
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_of_1(group: Path) -> float:
    """The same of version 1, where -1 is no quota."""
    quota, period = _words(group / "cpu.cfs_quota_us"), _words(group / "cpu.cfs_period_us")
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else math.inf


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:  # the root has none; a container may not see the groups above it
        return []
