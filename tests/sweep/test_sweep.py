"""`python -m ablate sweep`: every cell once, whatever becomes of its workers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import process
from tests.sweep.sweeping import (
    ablate,
    command,
    records,
    start,
    until,
    workers_of,
    write_sweep,
)
from tests.wandb_files import offline_run


def test_a_sweep_runs_its_cells_once_and_then_only_what_is_new(tmp_path):
    file = write_sweep(tmp_path / "ours.yaml", norm=["batch", "none"], seed=[0])
    first = subprocess.run(command("sweep", "ours.yaml"), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stdout + first.stderr
    before = records(tmp_path)
    assert [run["status"] for run in before.values()] == ["finished"] * 2
    assert "2 finished" in first.stdout

    write_sweep(file, norm=["batch", "none"], seed=[0, 1])
    planned = json.loads(ablate(tmp_path, "plan", "ours.yaml", "--json").stdout)
    assert planned["counts"] == {"finished": 2, "to do": 2}
    second = ablate(tmp_path, "sweep", "ours.yaml")
    assert second.returncode == 0 and "4 cells, 2 to do" in second.stdout
    after = records(tmp_path)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert len(list(tmp_path.glob("runs/*/wandb/offline-run-*"))) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"ours.yaml", "runs"}
    assert "\nlook at them  wandb leet runs/.leet/ours\n" in second.stdout
    assert "\nupload them   wandb sync runs/.leet/ours\n" in second.stdout, "those of this sweep alone"
    # By what varies, and by nothing that all cells share.
    names = {path.name for path in (tmp_path / "runs" / ".leet" / "ours").iterdir()}
    assert names == {f"run-norm={norm} seed={seed}" for norm in ("batch", "none") for seed in (0, 1)}
    logged = [offline_run(path.parent) for path in tmp_path.glob("runs/*/run.json")]
    assert {tuple(run["tags"]) for run in logged} == {("ours", "digits")} and len({run["group"] for run in logged}) == 2


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
    assert nothing.returncode == 1 and "4 cells, 0 to do" in nothing.stdout
    mended = ablate(tmp_path, *run, "--retry-failed", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert mended.returncode == 0 and "4 cells, 2 to do" in mended.stdout


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


GREEDY = """
import os
from pathlib import Path
import torch
from torch import nn
HERE = Path(__file__).parent / "alive"
def others():
    return [path for path in HERE.iterdir() if path.name != str(os.getpid()) and Path("/proc", path.name).exists()]
class Greedy(nn.ReLU):
    def forward(self, x):
        if x.device.type != "meta":
            HERE.mkdir(exist_ok=True)
            (HERE / str(os.getpid())).touch()
            if others():
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(x)
"""


ON_ONE_GPU = """
from ablate.__main__ import main
from ablate.sweep import execution
execution._shares = lambda *asked: (["0", "0"], 2)
main()
"""


def test_workers_that_run_out_of_memory_become_fewer_and_no_cell_fails(tmp_path):
    """Two workers of one GPU. It is not there, but their cells, which are on the CPU, run out of its memory."""
    (tmp_path / "greedy.py").write_text(GREEDY)
    (tmp_path / "mine" / "activation").mkdir(parents=True)
    (tmp_path / "mine" / "activation" / "greedy.yaml").write_text("_target_: greedy.Greedy\n_partial_: true\n")
    write_sweep(tmp_path / "ours.yaml", activation="greedy", seed=[0, 1, 2, 3])
    run = ["sweep", "ours.yaml", "--config-dir", "mine", "tracking=disabled", "hydra.launcher.workers=2"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = process.run([sys.executable, "-c", ON_ONE_GPU, *run], tmp_path, environment, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["status"] for run in records(tmp_path).values()] == ["finished"] * 4
    assert "out of memory beside others; 1 worker from here on, and it is tried again" in done.stdout
