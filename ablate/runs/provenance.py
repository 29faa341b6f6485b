"""The software and hardware that produced a result. It is recorded, so that a comparison of results from different
software or hardware can warn."""

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


# Packages whose versions are recorded if the network is theirs, by the beginning of its _target_.
OF_NETWORKS = {"ablate.design.libraries.timm_model": "timm", "timm.": "timm"}


def provenance(data_checksum: str | None, network: str = "") -> dict[str, Any]:
    """This machine and its software now: Python, packages, git commit, hardware; with the checksum of the data.

    network  the model's _target_, if it has one
    """
    import torch  # not at the top: a plan needs this module without torch

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
    """The git commit of the code in `package`, and whether the code or the conf/ beside it has uncommitted changes
    (`dirty`). None outside a repository."""
    try:
        commit = _git(package, "rev-parse", "HEAD")
        # An installed package can be inside another repository that does not track it: this raises then.
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
