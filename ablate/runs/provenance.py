"""Under what a result came about: recorded beside it, so that a comparison that mixes it can say so."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "wandb",
    "numpy",
    "scikit-learn",
)


# Packages that go on record where the network is theirs, by the beginning of its _target_.
OF_NETWORKS = {"ablate.design.libraries.timm_model": "timm", "timm.": "timm"}


def provenance(data_checksum: str | None, network: str = "") -> dict[str, Any]:
    """What goes on record. `network`: the model's _target_, where it has one."""
    import torch  # where a run is put on record it is there; to plan one takes none

    theirs = sorted({package for start, package in OF_NETWORKS.items() if network.startswith(start)})
    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in (*PACKAGES, *theirs)},
        "git": git_state(Path(__file__).resolve().parents[1]),
        "hardware": {
            "host": platform.node(),
            "platform": platform.platform(),
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        "data_checksum": data_checksum,
    }


def git_state(package: Path) -> dict[str, Any] | None:
    """The commit that the code in `package` is at, and whether it or the conf/ beside it has been changed since; None
    outside a repository."""
    try:
        commit = _git(package, "rev-parse", "HEAD")
        # An installed package can lie inside somebody else's repository, which does not track it.
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        return {"commit": commit, "dirty": bool(_git(package, "status", "--porcelain", "--", ".", "../conf"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
