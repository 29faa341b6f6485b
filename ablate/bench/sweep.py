"""Sweeps of small cells by `ablate sweep`, compared with the physical limit: their training, on all cores at once.

The limit of a sweep's wall-clock time is the training time of its cells (as a plan and a report have it: from the first
batch to the last, with validation) divided by the cores. What is lost: the start, while no cell trains; in the cells,
what is not training; and cores that wait, between cells and at the end.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from ablate.bench import paired
from ablate.process import processors

TITLE = "a sweep's wall time x cores / the training time of its cells"
ROUNDS = 1
_SHARED = {"program": "ablate", "method": "grid", "metric": {"name": "val/acc", "goal": "maximize"}}
_CHOICES = {"shortcut": {"values": ["zero_pad", "projection"]}, "norm": {"values": ["batch", "none"]}}
CELLS: dict[str, Any] = _SHARED | {
    "description": "What does a sweep cost beside the training of its cells?",
    "parameters": _CHOICES
    | {"seed": {"values": [0, 1, 2, 3]}, "trainer.max_epochs": {"value": 10}, "threads": {"value": 1}},
}
TINY: dict[str, Any] = _SHARED | {
    "parameters": _CHOICES
    | {
        "optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.04]},
        "seed": {"values": list(range(8))},
        "trainer.max_epochs": {"value": 2},
        "threads": {"value": 1},
    }
}
SWEEPS = (
    ("16 cells on digits, 10 epochs each", CELLS, "<= 1.15"),
    ("128 tiny cells on digits, 2 epochs each", TINY, "<= 1.25"),
)


@dataclass(frozen=True)
class Spent:
    """What a sweep took. wall: seconds; start: seconds before its first cell; training, own: seconds of all cells,
    of their training alone and from their start to their end."""

    wall: float
    start: float
    training: float
    own: float

    @property
    def ratio(self) -> float:
        return self.wall * processors.usable() / self.training

    @property
    def lost(self) -> dict[str, float]:
        """Core-seconds beyond the training: before the first cell, in the cells, and of cores that wait."""
        cores = processors.usable()
        idle = (self.wall - self.start) * cores - self.own
        return {"start": self.start * cores, "in cells": self.own - self.training, "waiting": idle}


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row for each sweep, by rounds."""
    paired.prepared(overrides, ["data=digits", "shortcut=zero_pad", "norm=batch", "seed=0", "optimizer.lr=0.01"])
    for name, cells, goal in SWEEPS:
        found = [by_sweep(overrides, cells) for _ in range(rounds or ROUNDS)]
        lost = {part: mean(spent.lost[part] for spent in found) for part in found[0].lost}
        yield paired.row(
            f"{TITLE}: {name}",
            goal,
            [spent.ratio for spent in found],
            f"{mean(spent.wall for spent in found):.0f} s on {processors.usable()} cores for"
            f" {mean(spent.training for spent in found):.0f} s of training; lost core-seconds: "
            + ", ".join(f"{part} {seconds:.0f}" for part, seconds in lost.items()),
        )


def by_sweep(overrides: Sequence[str], cells: dict[str, Any] = CELLS) -> Spent:
    """What `python -m ablate sweep FILE` takes, including the start of Python."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(yaml.safe_dump(cells, sort_keys=False), encoding="utf-8")
        typed = ["data=digits", "tracking=offline", f"runs_dir={folder}/runs", *overrides]
        began = time.time()
        command(["sweep", str(file), *typed])
        return spent(Path(folder) / "runs", began, time.time() - began)


def spent(runs: Path, began: float, wall: float) -> Spent:
    """Read from the records in `runs` of a sweep that `began` then and took `wall` seconds."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in runs.glob("*/run.json")]
    times = [[datetime.fromisoformat(record[key]).timestamp() for key in ("started", "ended")] for record in records]
    return Spent(
        wall,
        min(start for start, _ in times) - began,
        sum(record["cost"]["seconds"] for record in records),
        sum(end - start for start, end in times),
    )


def command(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "ablate", *arguments], stdout=subprocess.DEVNULL, check=True)
