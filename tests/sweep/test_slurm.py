"""Sweeps on a real Slurm of one node: preempted, killed, cancelled."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.errors import InputError
from ablate.runs import cell, lease, record
from ablate.sweep.engines import launchers
from tests.conftest import SMALL
from tests.sweep.slurm_cluster import Cluster, lacking, until

QUICK = Path(__file__).parents[2] / "sweeps" / "quick.yaml"
BATCH_SEED_0, BATCH_SEED_1, *_ = NAMES = [
    f"shortcut={shortcut} norm={norm} seed={seed}"
    for shortcut in ("zero_pad", "projection")
    for norm in ("batch", "none")
    for seed in (0, 1)
]
PLAIN = "shortcut=zero_pad"  # four cells of the eight
EPOCHS = "trainer.max_epochs=8"  # long enough to be caught in the middle


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


class Sweep:
    """`python -m ablate sweep sweeps/quick.yaml` on the cluster, small cells, in a process of its own."""

    def __init__(self, cluster: Cluster, folder: Path, *overrides: str, **environment: str) -> None:
        command = [sys.executable, "-m", "ablate", "sweep", str(QUICK), *SMALL, *overrides, "hydra/launcher=slurm"]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**cluster.environment, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.said = ""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if submitted := re.match(r"Slurm job (\d+): \d+ run", line):
                self.array = submitted[1]
                return
        pytest.fail(self.said)

    def kill(self) -> None:
        """A sweep that a failed test has left would ask a Slurm that is gone for ever."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def ended(self) -> int:
        """The exit code, once there is one."""
        self.said += self.process.communicate(timeout=400)[0]
        return self.process.returncode


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """start("axis=option", …, VARIABLE=…): a sweep in the test's own folder that ends with the test at the latest."""
    sweeps: list[Sweep] = []

    def started(*overrides: str, **environment: str) -> Sweep:
        sweeps.append(Sweep(cluster, tmp_path, *overrides, **environment))
        return sweeps[-1]

    yield started
    for sweep in sweeps:
        sweep.kill()


def directories(prepared, names: list[str], *overrides: str) -> dict[str, Path]:  # type: ignore[no-untyped-def]
    return {name: prepared(*name.split(), *overrides).directory for name in names}


def in_training(directory: Path) -> bool:
    """Whether the run there has saved, and goes on."""
    return status(directory) == "running" and bool(list(directory.glob("checkpoints/step-*.ckpt")))


def status(directory: Path) -> str | None:
    known = record.read(directory)
    return known.status if known else None


def goes_on_as_if_undisturbed(directory: Path, undisturbed: cell.Cell) -> bool:
    known, _ = cell.run(undisturbed)
    mine = record.read(directory)
    return bool(mine and mine.resumed and mine.summary == known.summary and known.summary)


def test_a_sweep_survives_a_preemption_and_a_kill_and_goes_on_with_what_is_left(start, cluster, prepared, tmp_path):
    runs = directories(prepared, NAMES[:4], EPOCHS)
    preempted, killed = runs[BATCH_SEED_0], runs[BATCH_SEED_1]

    sweep = start(PLAIN, EPOCHS)
    until("the first job trains", lambda: in_training(preempted))
    cluster.signal(f"{sweep.array}_0", "USR2")
    until("the second job trains", lambda: in_training(killed))
    holder = lease.holder(killed)
    assert holder
    os.kill(holder["pid"], signal.SIGKILL)
    assert sweep.ended() == 1, sweep.said

    assert f"Slurm job {sweep.array}_1 is FAILED" in sweep.said and "3 finished, 1 interrupted" in sweep.said
    others = [directory for directory in runs.values() if directory != killed]
    assert [status(directory) for directory in others] == ["finished"] * 3
    assert goes_on_as_if_undisturbed(preempted, prepared(*BATCH_SEED_0.split(), EPOCHS, runs="undisturbed"))
    assert not list(tmp_path.rglob("hpc_ckpt*")), "Lightning requeues by a checkpoint of its own"

    before = [(directory / "run.json").read_bytes() for directory in others]
    rest = start(PLAIN, EPOCHS)
    assert rest.ended() == 0, rest.said
    assert f"Slurm job {rest.array}: 1 run," in rest.said and "4 finished" in rest.said
    assert goes_on_as_if_undisturbed(killed, prepared(*BATCH_SEED_1.split(), EPOCHS, runs="undisturbed"))
    assert before == [(directory / "run.json").read_bytes() for directory in others]


@pytest.mark.long
@pytest.mark.parametrize("preempt_signal", ["USR2", "TERM"])
def test_ctrl_c_cancels_the_jobs_once_they_have_saved(start, cluster, prepared, preempt_signal):
    runs = list(directories(prepared, NAMES, "trainer.max_epochs=2000").values())
    sweep = start("trainer.max_epochs=2000", SUBMITIT_PREEMPT_SIGNAL=preempt_signal)
    until("two jobs train", lambda: all(map(in_training, runs[:2])))
    sweep.process.send_signal(signal.SIGINT)
    assert sweep.ended() == 130
    assert f"Cancelling Slurm job {sweep.array}" in sweep.said and "2 interrupted, 6 to do" in sweep.said
    assert cluster.run("squeue", "--noheader")[0] == ""
    assert [status(directory) for directory in runs] == ["interrupted"] * 2 + [None] * 6


@pytest.mark.long
@pytest.mark.parametrize(
    "stopped",
    [
        pytest.param(lambda cluster, job: cluster.signal(job, "TERM"), id="a grace period that begins with SIGTERM"),
        pytest.param(lambda cluster, job: cluster.run("scontrol", "requeue", job), id="requeued by Slurm"),
    ],
)
def test_other_ways_to_be_preempted(start, cluster, prepared, stopped):
    one = ("shortcut=projection", "norm=none", "seed=1", EPOCHS)
    directory = prepared(*one).directory
    sweep = start(*one, SUBMITIT_PREEMPT_SIGNAL="TERM")
    until("the job trains", lambda: in_training(directory))
    stopped(cluster, sweep.array)
    assert sweep.ended() == 0, sweep.said
    assert goes_on_as_if_undisturbed(directory, prepared(*one, runs="undisturbed"))


@pytest.mark.long
def test_what_slurm_refuses_is_said(cluster, monkeypatch, tmp_path):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="partition"):
        launchers.launch([SMALL], ["hydra/launcher=slurm", "hydra.launcher.partition=nowhere"])


def test_without_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"sbatch.*not found"):
        launchers.launch([SMALL], ["hydra/launcher=slurm"])
    assert list(tmp_path.iterdir()) == []


def test_without_accounting(monkeypatch, tmp_path):
    for name in ("sbatch", "srun", "scancel", "squeue", "sacct"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="accounting storage is disabled"):
        launchers.launch([SMALL], ["hydra/launcher=slurm"])
