"""The cost of a plan, a report and the runs' directories, as a sweep grows to 10,000 cells.

One cell is trained, and its files are counted. The results of all cells are made up from it: directories with a record,
a configuration, and the trained cell's curves and gradient norms, which is all that a plan and a report read. Each
command runs in its own process with one thread, including the start of Python.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ablate.configuration.composition import Composition
from ablate.errors import InputError
from ablate.runs import record
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import PlannedCell, plan

TITLE = "a sweep's growth: seconds of the processor, seconds by the clock and memory of each command; a run's directory"
# Sweeps of networks x learning rates x seeds.
SIZES = ((20, 1, 5), (40, 5, 5), (40, 25, 10))
NETWORKS = {
    "model": ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"],
    "norm": ["batch", "none"],
    "shortcut": ["zero_pad", "projection"],
    "placement": ["original", "full_pre_activation"],
}
OWN = ("data=digits", "threads=1")
# Run between this process and a command, because a command's peak memory starts at that of its parent, and this process
# is large.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)
sys.exit(code != 0)
"""
SERIES = ("metrics.parquet", "gradient_norms.parquet")


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row for each size: what the commands took, before any cell has a result and when all have, and the files of a
    run. Each command runs once, whatever `rounds` is.

    Raises InputError for an override of something that is varied or set here.
    """
    for key, typed in Composition.of(overrides).overridden.items():
        if key.split(".")[0] in (*NETWORKS, "data", "seed", "runs_dir", "rerun") or key == "optimizer.lr":
            raise InputError(f"{typed}: the bench sets this itself. Leave it out.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _took([*OWN, f"runs_dir={folder / 'trained'}", *overrides])
        (trained,) = (folder / "trained").iterdir()
        files = [path for path in trained.rglob("*") if path.is_file()]
        left = {"files per run": len(files), "kB per run": sum(path.stat().st_size for path in files) / 1000}
        for number, size in enumerate(SIZES):
            yield _compare(folder / str(number), trained, overrides, *size) | left


def _compare(
    folder: Path, trained: Path, overrides: Sequence[str], networks: int, rates: int, seeds: int
) -> dict[str, Any]:
    folder.mkdir()
    file = sweep_file(folder, networks, rates, seeds)
    typed = [*OWN, f"runs_dir={folder}/runs", *overrides]
    took = {"plan": _took(["plan", str(file), *typed])}
    cells = plan(SweepFile.read(file), typed)
    make_up(trained, cells)
    took["plan of all done"] = _took(["plan", str(file), *typed])
    took["report"] = _took(["report", str(file), *typed, "--out", str(folder / "report")])
    commands = {f"{name}, {unit}": value for name, found in took.items() for unit, value in found.items()}
    return {"goal": "stated", "cells": len(cells), "networks": networks, **commands}


def sweep_file(folder: Path, networks: int, rates: int, seeds: int) -> Path:
    """Write a sweep file of the first `networks` of NETWORKS, crossed with learning rates and seeds."""
    placements = NETWORKS["placement"][: networks // 20]
    choices = NETWORKS | {"placement": placements, "optimizer.lr": [round(0.002 * (n + 1), 3) for n in range(rates)]}
    parameters = {key: {"values": values} for key, values in (choices | {"seed": list(range(seeds))}).items()}
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}, sort_keys=False), encoding="utf-8")
    return file


def make_up(trained: Path, cells: Sequence[PlannedCell]) -> None:
    """Write results of `cells` to their directories: the `trained` run's, with other accuracies and costs."""
    known = record.read(trained)
    assert known is not None
    for cell in cells:
        assert cell.values is not None and cell.fingerprint is not None
        draw = random.Random(cell.fingerprint)
        values = {"val/acc": draw.gauss(0.9, 0.01), "test/acc": draw.gauss(0.9, 0.01)}
        cell.directory.mkdir(parents=True)
        for name in SERIES:
            (cell.directory / name).hardlink_to(trained / name)
        (cell.directory / "config.yaml").write_text(
            yaml.dump(cell.values, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8"
        )
        record.write(
            cell.directory,
            replace(
                known,
                fingerprint=cell.fingerprint,
                name=cell.name,
                choices=known.choices | {key: cell.assignment[key] for key in NETWORKS if key in cell.assignment},
                overrides=cell.overrides,
                seed=cell.values["seed"],
                summary=known.summary | values,
                cost=known.cost | {"params": cell.params, "macs": cell.macs},
            ),
        )


def _took(arguments: Sequence[str]) -> dict[str, float]:
    """What `python -m ablate …` took: s (processor time), clock s (wall-clock time), MB (peak memory)."""
    command = [sys.executable, "-m", "ablate", *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr}")
    used, memory = map(float, done.stdout.split())
    return {"s": used, "clock s": seconds, "MB": memory}
