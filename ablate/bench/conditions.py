"""The conditions of a measurement: the machine, its load, the software, and what `auto` chose."""

import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ablate.bench import paired
from ablate.process import processors
from ablate.runs.provenance import provenance

# Instructions by which matrix products and convolutions differ in speed, as Linux calls them.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
BUSY = 0.1  # the share of the cores' time that others may use before a warning
WATCHED = 0.5  # seconds
CPUINFO, STAT = Path("/proc/cpuinfo"), Path("/proc/stat")


def now(overrides: Sequence[str]) -> dict[str, Any]:
    """The conditions of trainings with the user's `overrides`. Takes half a second, in which the load is watched."""
    cfg = paired.prepared(overrides, ["model=resnet20"]).cfg  # raises InputError before anything is measured
    found = provenance(None)
    before, load = _ticks(), os.getloadavg()[0]
    time.sleep(WATCHED)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": found["hardware"]["cpu"],
        "features": features(_text(CPUINFO)),
        "cores": found["hardware"]["cores"],
        "usable_cores": processors.usable(),
        "gpus": found["hardware"]["gpus"],
        "accelerator": cfg.trainer.accelerator,
        "precision": cfg.trainer.precision,
        "threads": cfg.threads,
        "load": load,
        "busy": busy(before, _ticks()),
        "versions": {"python": found["python"], **found["packages"]},
        "torch_kernels": torch.backends.cpu.get_cpu_capability(),
        "platform": found["hardware"]["platform"],
        "git": found["git"],
    }


def lines(here: Mapping[str, Any]) -> list[str]:
    """The conditions in words, with a warning if other programs use the processor."""
    devices = f"{here['usable_cores']} of {here['cores']} cores" + "".join(f", {gpu}" for gpu in here["gpus"])
    threads = "" if here["threads"] is None else f", threads={here['threads']}"
    share = "" if here["busy"] is None else f", {here['busy']:.0%} of the cores in use"
    versions = ", ".join(f"{name} {here['versions'][name]}" for name in ("torch", "pytorch-lightning", "wandb"))
    said = [
        f"{here['cpu']}: {devices}; {' '.join(here['features']) or 'features unknown'}; torch uses"
        f" {here['torch_kernels']}",
        f"{here['accelerator']}, {here['precision']}{threads}; {versions}, Python {here['versions']['python']}",
        f"before the start: load {here['load']:.2f}{share}",
    ]
    if is_busy(here):
        said.append(
            "Warning: other programs use this machine. The two sides of a ratio are slowed alike, but not evenly; times"
            " by the clock are too long. With trainer=cpu threads=1 most are in processor time."
        )
    return said


def is_busy(here: Mapping[str, Any]) -> bool:
    """Whether others use more than BUSY of the cores; by the load where the system does not say."""
    share = here["busy"] if here["busy"] is not None else here["load"] / here["cores"]
    return bool(share > BUSY)


def features(cpuinfo: str) -> list[str]:
    """Those of FEATURES that the processor has. cpuinfo: the text of /proc/cpuinfo."""
    flags = next((line for line in cpuinfo.splitlines() if line.lower().startswith(("flags", "features"))), "")
    return [name for name in FEATURES if name in flags.partition(":")[2].split()]


def busy(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """The share of the cores' time in use between two readings; None where the system does not count it."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def _ticks() -> tuple[int, int] | None:
    """The time that all cores have been in use, and the time in all, since the machine was started."""
    counts = [int(word) for word in _text(STAT).partition("\n")[0].split()[1:9]]
    return (sum(counts) - counts[3] - counts[4], sum(counts)) if len(counts) == 8 else None  # without idle and iowait


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:  # not Linux
        return ""
