"""A sweep of 16 small cells on digits with `ablate sweep`, compared with the same cells in one process after another.

Both are measured in wall-clock time, in separate folders, with W&B offline, including the start of Python.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ablate.bench import paired
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan

TITLE = "a 16-cell digits sweep / the same cells one process after another"
GOAL = "<= 0.3"
ROUNDS = 1
CELLS: dict[str, Any] = {
    "program": "ablate",
    "method": "grid",
    "metric": {"name": "val/acc", "goal": "maximize"},
    "description": "What does a sweep cost beside the training of its cells?",
    "parameters": {
        "shortcut": {"values": ["zero_pad", "projection"]},
        "norm": {"values": ["batch", "none"]},
        "seed": {"values": [0, 1, 2, 3]},
        "trainer.max_epochs": {"value": 10},
        "threads": {"value": 1},
    },
}


def compare(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """One row: the time of the sweep divided by that of the processes, by rounds."""
    paired.prepared(overrides, ["data=digits", "shortcut=zero_pad", "norm=batch", "seed=0"])  # checks the overrides
    found = paired.in_turns(
        {"sweep": lambda: by_sweep(overrides), "processes": lambda: by_processes(overrides)}, ROUNDS
    )
    return [
        paired.row(
            TITLE,
            GOAL,
            [a / b for a, b in zip(found["sweep"], found["processes"], strict=True)],
            f"{min(found['sweep']):.0f} / {min(found['processes']):.0f} s; {ROUNDS} round, by the clock",
        )
    ]


def by_sweep(overrides: Sequence[str]) -> float:
    """Seconds of `python -m ablate sweep FILE`."""
    with tempfile.TemporaryDirectory() as folder:
        file = written(Path(folder))
        return paired.seconds(partial(command, ["sweep", str(file), *own(folder), *overrides]))


def by_processes(overrides: Sequence[str]) -> float:
    """Seconds of `python -m ablate …` for each of the cells, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        cells = plan(SweepFile.read(written(Path(folder))), [*own(folder), *overrides], check_data=False)
        return sum(paired.seconds(partial(command, cell.overrides)) for cell in cells)


def own(folder: str) -> list[str]:
    return ["data=digits", "tracking=offline", f"runs_dir={folder}/runs"]


def written(folder: Path) -> Path:
    file = folder / "sixteen.yaml"
    file.write_text(yaml.safe_dump(CELLS, sort_keys=False), encoding="utf-8")
    return file


def command(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "ablate", *arguments], stdout=subprocess.DEVNULL, check=True)
