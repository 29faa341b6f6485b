"""Sweeps on a real Slurm of one node: preempted, killed, cancelled."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.errors import InputError
from ablate.study import cell, lease, record
from ablate.study.engines import launchers
from tests.conftest import SMALL
from tests.study.slurm_cluster import Cluster, lacking, until

# Long enough to be caught in the middle.
CELLS = [
    [*SMALL, "trainer.max_epochs=8", f"shortcut={shortcut}", f"norm={norm}", f"seed={seed}"]
    for shortcut in ("zero_pad", "projection")
    for norm in ("batch", "none")
    for seed in (0, 1)
]

LAUNCH = """
import json, sys
from ablate.errors import InputError
from ablate.study.commandline import register_resolvers
from ablate.study.engines import launchers
register_resolvers()
launchers.launch(json.loads(sys.argv[1]), ["hydra/launcher=slurm"])
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if reason := lacking():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ablate-slurm-"))
    folder.chmod(0o755)  # munge and MariaDB, of users of their own, must get in
    running = Cluster(folder, cpus=2)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)


def launched(cluster: Cluster, folder: Path, cells: list[list[str]], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, json.dumps(cells)],
        cwd=folder,
        env={**cluster.environment, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def array_id(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("Slurm job "), f"{line}{process.communicate()}"
    return line.split()[2].rstrip(":")


def in_training(directory: Path) -> bool:
    """Whether the run there has saved, and goes on."""
    known = record.read(directory)
    return bool(known and known["status"] == "running" and list(directory.glob("checkpoints/step-*.ckpt")))


def status(directory: Path) -> str | None:
    known = record.read(directory)
    return known["status"] if known else None


def same_numbers(one: Path, other: Path) -> bool:
    results = [record.read(directory) for directory in (one, other)]
    return all(results) and results[0]["summary"] == results[1]["summary"] and bool(results[0]["summary"])


def test_a_sweep_survives_a_preemption_and_a_kill_and_goes_on_with_what_is_left(cluster, prepared, tmp_path):
    undisturbed = [prepared(*overrides, runs="undisturbed") for overrides in CELLS[:2]]
    for one in undisturbed:
        cell.run(one)
    preempted, killed, *others = [prepared(*overrides).directory for overrides in CELLS]

    sweep = launched(cluster, tmp_path, CELLS)
    array = array_id(sweep)
    until("the first job trains", lambda: in_training(preempted))
    cluster.signal(f"{array}_0", "USR2")
    until("the second job trains", lambda: in_training(killed))
    os.kill(lease.holder(killed)["pid"], signal.SIGKILL)
    _, said = sweep.communicate(timeout=240)
    assert sweep.returncode == 0, said

    assert [status(directory) for directory in (preempted, *others)] == ["finished"] * 7
    assert record.read(preempted)["resumed"]
    assert same_numbers(preempted, undisturbed[0].directory)
    assert status(killed) == "running" and lease.holder(killed) is None
    assert f"{array}_1 is FAILED" in said and "seed=1" in said
    assert not list(tmp_path.rglob("hpc_ckpt*")), "Lightning requeues by a checkpoint of its own"

    ended = {directory: record.read(directory)["ended"] for directory in (preempted, *others)}
    again = launched(cluster, tmp_path, CELLS[1:2])
    array_id(again)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert record.read(killed)["resumed"] and same_numbers(killed, undisturbed[1].directory)
    assert ended == {directory: record.read(directory)["ended"] for directory in (preempted, *others)}


@pytest.mark.long
@pytest.mark.parametrize("preempt_signal", ["USR2", "TERM"])
def test_ctrl_c_cancels_the_jobs_once_they_have_saved(cluster, prepared, tmp_path, preempt_signal):
    cells = [[*overrides, "trainer.max_epochs=2000"] for overrides in CELLS[:3]]
    directories = [prepared(*overrides).directory for overrides in cells]
    sweep = launched(cluster, tmp_path, cells, SUBMITIT_PREEMPT_SIGNAL=preempt_signal)
    array = array_id(sweep)
    for directory in directories[:2]:
        until("a job trains", lambda: in_training(directory))
    sweep.send_signal(signal.SIGINT)
    out, said = sweep.communicate(timeout=60)
    assert f"Cancelling Slurm job {array}" in out, said
    assert cluster.run("squeue", "--noheader")[0] == ""
    assert [status(directory) for directory in directories] == ["interrupted", "interrupted", None]


@pytest.mark.long
def test_a_grace_period_that_begins_with_sigterm(cluster, prepared, tmp_path):
    directory = prepared(*CELLS[0]).directory
    sweep = launched(cluster, tmp_path, CELLS[:1], SUBMITIT_PREEMPT_SIGNAL="TERM")
    array = array_id(sweep)
    until("the job trains", lambda: in_training(directory))
    cluster.signal(array, "TERM")
    _, said = sweep.communicate(timeout=120)
    assert status(directory) == "finished" and record.read(directory)["resumed"], said


@pytest.mark.long
def test_slurm_requeues_the_job_itself(cluster, prepared, tmp_path):
    directory = prepared(*CELLS[0]).directory
    sweep = launched(cluster, tmp_path, CELLS[:1])
    array = array_id(sweep)
    until("the job trains", lambda: in_training(directory))
    cluster.run("scontrol", "requeue", array)
    _, said = sweep.communicate(timeout=120)
    assert status(directory) == "finished" and record.read(directory)["resumed"], said


@pytest.mark.long
def test_what_slurm_refuses_is_said(cluster, monkeypatch, tmp_path):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="partition"):
        launchers.launch(CELLS, ["hydra/launcher=slurm", "hydra.launcher.partition=nowhere"])


def test_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="sbatch.*not found"):
        launchers.launch(CELLS, ["hydra/launcher=slurm"])
    assert list(tmp_path.iterdir()) == []


def test_without_accounting(monkeypatch, tmp_path):
    for name in ("sbatch", "srun", "scancel", "squeue", "sacct"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="accounting storage is disabled"):
        launchers.launch(CELLS, ["hydra/launcher=slurm"])
