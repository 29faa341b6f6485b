"""Sweeps that are killed, or run by several at once: no number changes, and no cell is trained twice."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.runs import cell
from tests.sweep.sweeping import FIXED, ablate, records, start, tables, until, workers_of, write_sweep


def undisturbed(prepared: Callable[..., cell.Cell], seeds: int, *overrides: str) -> dict[str, Any]:
    """What each cell gives when it is left in peace, by its fingerprint."""
    typed = {override.split("=")[0] for override in overrides}
    fixed = [f"{name}={str(value).replace(' ', '')}" for name, value in FIXED.items() if name not in typed]
    results = {}
    for norm in ("batch", "none"):
        for seed in range(seeds):
            alone = prepared(*fixed, f"norm={norm}", f"seed={seed}", *overrides, runs="undisturbed")
            record, _ = cell.run(alone)
            results[alone.fingerprint] = (record.summary, tables(alone.directory))
    return results


def assert_as_undisturbed(folder: Path, expected: dict[str, Any]) -> None:
    runs = records(folder)
    assert {name: run["status"] for name, run in runs.items()} == dict.fromkeys(expected, "finished")
    for name, (summary, rows) in expected.items():
        assert runs[name]["summary"] == summary
        assert tables(folder / "runs" / name) == rows


@pytest.mark.parametrize(
    ("kills", "within", "seeds", "epochs"), [(2, 1, 1, 24), pytest.param(30, 3, 4, 160, marks=pytest.mark.long)]
)
def test_kill_9_at_random_moments_changes_no_number(tmp_path, prepared, kills, within, seeds, epochs):
    """Each kill comes at most `within` seconds after the workers have started."""
    expected = undisturbed(prepared, seeds, f"trainer.max_epochs={epochs}")
    write_sweep(tmp_path / "ours.yaml", norm=["batch", "none"], seed=[*range(seeds)], trainer__max_epochs=epochs)
    run = ["sweep", "ours.yaml", "tracking=disabled", "checkpoint.every_n_steps=3"]
    draw = random.Random(kills)
    for _ in range(kills):
        sweep = start(tmp_path, *run)
        until(lambda sweep=sweep: workers_of(sweep.pid))
        time.sleep(draw.uniform(0, within))
        assert sweep.poll() is None, "the sweep was over before the last kill"
        victims = [sweep.pid, *workers_of(sweep.pid)]
        if draw.random() < 0.5:  # one of them, or all at once, as when a machine dies
            victims = [draw.choice(victims)]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        sweep.kill()
        sweep.communicate(timeout=60)
    last = ablate(tmp_path, *run)
    assert last.returncode == 0, last.stdout + last.stderr
    assert_as_undisturbed(tmp_path, expected)


def test_four_sweeps_at_once_train_no_cell_twice(tmp_path):
    write_sweep(tmp_path / "ours.yaml", norm=["batch", "none"], seed=[0, 1])
    sweeps = [start(tmp_path, "sweep", "ours.yaml", "hydra.launcher.workers=1") for _ in range(4)]
    for sweep in sweeps:
        out, _ = sweep.communicate(timeout=300)
        assert sweep.returncode == 0, out
        assert "4 finished" in out
    runs = records(tmp_path)
    assert len(runs) == 4 and not any(run["resumed"] for run in runs.values())
    assert len(list(tmp_path.glob("runs/*/wandb/offline-run-*"))) == 4
