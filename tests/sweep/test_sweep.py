"""`python -m ablate sweep`: every cell once, whatever happens to the processes that run them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from ablate.runs import cell

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
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


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
    return [worker for server in children(pid) if b"forkserver" in command_of(server) for worker in children(server)]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def tables(directory: Path) -> list[list[tuple[Any, ...]]]:
    names = ("metrics.parquet", "gradient_norms.parquet")
    return [sorted(map(repr, pq.read_table(directory / name).to_pylist())) for name in names]


def test_a_sweep_runs_its_cells_once_and_then_only_what_is_new(tmp_path):
    file = write_sweep(tmp_path / "ours.yaml", norm=["batch", "none"], seed=[0])
    first = ablate(tmp_path, "sweep", "ours.yaml")
    assert first.returncode == 0, first.stdout + first.stderr
    before = records(tmp_path)
    assert [run["status"] for run in before.values()] == ["finished"] * 2
    assert "2 finished" in first.stdout

    write_sweep(file, norm=["batch", "none"], seed=[0, 1])
    planned = json.loads(ablate(tmp_path, "plan", "ours.yaml", "--json").stdout)
    assert planned["counts"] == {"finished": 2, "to do": 2}
    second = ablate(tmp_path, "sweep", "ours.yaml")
    assert second.returncode == 0 and "4 cells, 2 to run" in second.stdout
    after = records(tmp_path)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert len(list(tmp_path.glob("runs/*/wandb/offline-run-*"))) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"ours.yaml", "runs"}


POISON = """
from torch import nn
class Poison(nn.ReLU):
    def forward(self, x):
        if x.device.type != "meta":
            raise RuntimeError("poisoned")
        return super().forward(x)
"""


def test_failed_and_diverged_cells_leave_the_others_alone(tmp_path):
    (tmp_path / "poison.py").write_text(POISON)
    (tmp_path / "mine" / "activation").mkdir(parents=True)
    (tmp_path / "mine" / "activation" / "poison.yaml").write_text("_target_: poison.Poison\n_partial_: true\n")
    write_sweep(tmp_path / "ours.yaml", activation=["relu", "poison"], optimizer__lr=[0.05, 1e30])
    run = ["sweep", "ours.yaml", "--config-dir", "mine", "tracking=disabled"]
    done = ablate(tmp_path, *run, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 1, done.stdout + done.stderr
    outcome = {
        (run["choices"]["activation"], "1e+30" in str(run["overrides"])): run for run in records(tmp_path).values()
    }
    assert {key: run["status"] for key, run in outcome.items()} == {
        ("relu", False): "finished",
        ("relu", True): "diverged",
        ("poison", False): "failed",
        ("poison", True): "failed",
    }
    assert "RuntimeError: poisoned" in outcome["poison", False]["error"]
    assert done.stdout.count("\n    python -m ablate activation=poison") == 2
    assert "python -m ablate sweep --retry-failed ours.yaml --config-dir mine tracking=disabled" in done.stdout

    (tmp_path / "poison.py").write_text(POISON.replace("raise RuntimeError", "print"))
    nothing = ablate(tmp_path, *run, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert nothing.returncode == 1 and "4 cells, 0 to run" in nothing.stdout
    mended = ablate(tmp_path, *run, "--retry-failed", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert mended.returncode == 0 and "4 cells, 2 to run" in mended.stdout


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    write_sweep(tmp_path / "ours.yaml", seed=[0, 1, 2], trainer__max_epochs=4)
    sweep = start(tmp_path, "sweep", "ours.yaml", "tracking=disabled", "hydra.launcher.workers=1")
    until(lambda: list(tmp_path.glob("runs/*/checkpoints/*.ckpt")))
    (worker,) = workers_of(sweep.pid)
    os.kill(worker, signal.SIGKILL)
    out, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, out
    runs = records(tmp_path)
    assert [run["status"] for run in runs.values()] == ["finished"] * 3
    assert [run["resumed"] for run in runs.values()].count(True) == 1


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path):
    write_sweep(tmp_path / "ours.yaml", seed=[0, 1], trainer__max_epochs=200)
    sweep = start(tmp_path, "sweep", "ours.yaml", "tracking=disabled", "hydra.launcher.workers=2")
    until(lambda: len(list(tmp_path.glob("runs/*/checkpoints/*.ckpt"))) > 2)
    sweep.send_signal(signal.SIGINT)
    out, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 130, out
    assert "the same command continues the sweep" in out
    assert {run["status"] for run in records(tmp_path).values()} == {"interrupted"}
    assert "2 interrupted" in ablate(tmp_path, "plan", "ours.yaml", "tracking=disabled").stdout


def test_workers_do_not_outlive_the_sweep(tmp_path):
    write_sweep(tmp_path / "ours.yaml", seed=[0], trainer__max_epochs=1000)
    sweep = start(tmp_path, "sweep", "ours.yaml", "tracking=disabled")
    until(lambda: list(tmp_path.glob("runs/*/checkpoints/*.ckpt")))
    (worker,) = workers_of(sweep.pid)
    sweep.kill()
    sweep.communicate(timeout=60)
    until(lambda: not Path(f"/proc/{worker}").exists())
    (run,) = records(tmp_path).values()
    assert run["status"] == "interrupted"


def undisturbed(prepared: Callable[..., cell.Cell], *overrides: str) -> dict[str, Any]:
    """What each cell gives when it is left in peace, by its fingerprint."""
    typed = {override.split("=")[0] for override in overrides}
    fixed = [f"{name}={str(value).replace(' ', '')}" for name, value in FIXED.items() if name not in typed]
    results = {}
    for norm in ("batch", "none"):
        for seed in range(4):
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


@pytest.mark.parametrize(("kills", "epochs"), [(2, 12), pytest.param(30, 160, marks=pytest.mark.long)])
def test_kill_9_at_random_moments_changes_no_number(tmp_path, prepared, kills, epochs):
    expected = undisturbed(prepared, f"trainer.max_epochs={epochs}")
    write_sweep(tmp_path / "ours.yaml", norm=["batch", "none"], seed=[0, 1, 2, 3], trainer__max_epochs=epochs)
    run = ["sweep", "ours.yaml", "tracking=disabled", "checkpoint.every_n_steps=3"]
    draw = random.Random(kills)
    for _ in range(kills):
        sweep = start(tmp_path, *run)
        until(lambda sweep=sweep: workers_of(sweep.pid))
        time.sleep(draw.uniform(0, 3))
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
