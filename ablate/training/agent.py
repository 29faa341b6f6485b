"""What a W&B agent tells the process that it starts: the variables that `wandb agent` (0.31) sets."""

import os
from pathlib import Path
from typing import Any

import yaml


def present() -> bool:
    """Whether an agent of a sweep has started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def run_id() -> str | None:
    """The id of the W&B run that the server has made for this process; None without an agent."""
    return os.environ.get("WANDB_RUN_ID") if present() else None


def parameters() -> dict[str, Any]:
    """The run's parameters by the sweep's names, from the file in which W&B hands them on; none without an agent."""
    file = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    if not present() or file is None:
        return {}
    entries = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return {name: entry["value"] for name, entry in entries.items() if name != "wandb_version"}
