"""How many cores a run may use: those it may run on, or its control group's quota, as the kernel's files state it."""

import os
from pathlib import Path

import pytest

from ablate.configuration.composition import Composition
from ablate.errors import InputError
from ablate.process import processors
from ablate.training.settings import resolve_auto


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """machine(groups, files): 8 cores, /proc/self/cgroup and files below /sys/fs/cgroup of this content."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(processors, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(processors, "OF_THIS_PROCESS", tmp_path / "cgroup")

    def made(groups: str, files: dict[str, str]) -> None:
        (tmp_path / "cgroup").write_text(groups)
        for name, content in files.items():
            (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fs" / name).write_text(content)

    return made


V1 = "5:cpu,cpuacct:/docker/1f\n3:cpuset:/\n0::/\n"


# https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), …/scheduler/sched-bwc.html (cpu.cfs_quota_us)
@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "390000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/user.slice/job\n", {"user.slice/cpu.max": "400000 100000", "user.slice/job/cpu.max": "max 100000"}, 4),
        ("0::/user.slice/job\n", {"user.slice/cpu.max": "400000 100000", "user.slice/job/cpu.max": "15000 5000"}, 3),
        ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, 8),
        (V1, {"cpu/docker/1f/cpu.cfs_quota_us": "-1\n", "cpu/docker/1f/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/docker/1f/cpu.cfs_quota_us": "250000\n", "cpu/docker/1f/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_a_quota_counts_where_it_is_less(machine, groups: str, files: dict[str, str], cores: int) -> None:
    machine(groups, files)
    assert processors.usable() == cores


def test_without_control_groups_the_cores_count(machine) -> None:
    assert processors.usable() == 8


def test_threads_are_those_of_the_quota_and_omp_num_threads_is_not_asked(machine, monkeypatch, compose_cfg) -> None:
    machine("0::/\n", {"cpu.max": "400000 100000\n"})
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    from omegaconf import OmegaConf

    for devices, threads in ((1, 4), (2, 2)):
        cfg = compose_cfg("trainer=cpu", f"trainer.devices={devices}")
        values = OmegaConf.to_container(cfg, resolve=True)
        resolve_auto(values)
        assert values["threads"] == threads


def test_a_refusal_of_processes_names_the_cores_that_may_be_used_not_all_of_the_machine(machine, monkeypatch) -> None:
    machine("0::/\n", {})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    values = Composition.of(["trainer=cpu", "trainer.devices=9"]).values()
    with pytest.raises(InputError, match=r"^trainer\.devices=9: use at most 8 processes here, .* on 8 cores\.$"):
        resolve_auto(values)
