"""How many processors this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OF_THIS_PROCESS = Path("/proc/self/cgroup")


def usable() -> int:
    """The number of cores this process may run on, or its container's CPU quota rounded down, whichever is less.

    A container may run on all cores of its machine, but is suspended once it has used its share of time. More threads
    than the quota would only wait for each other. OMP_NUM_THREADS is ignored, because many shell profiles set it for
    other programs and the number of threads can change a result. Use `threads=` instead.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, math.floor(min(cores, _quota())))


def _quota() -> float:
    """The smallest CPU quota of this process's control groups and their parents, in cores; infinite without one."""
    try:
        lines = OF_THIS_PROCESS.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
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
    """The quota of a version 2 control group. cpu.max is `max 100000`, or quota and period in microseconds."""
    quota, period = (_words(group / "cpu.max") or ["max", "100000"])[:2]
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_of_1(group: Path) -> float:
    """The quota of a version 1 control group, where -1 means none."""
    quota, period = _words(group / "cpu.cfs_quota_us"), _words(group / "cpu.cfs_period_us")
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else math.inf


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:  # the root group has no such file; a container may not see its parent groups
        return []
