"""What a W&B agent tells the process that it starts: the variables that `wandb agent` (0.31) sets."""

import os
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import InputError, nearest

# What W&B takes WANDB_MODE to be, and what a run makes of it.
MODES = {"online": "online", "offline": "offline", "disabled": "disabled", "run": "online", "dryrun": "offline"}


def present() -> bool:
    """Whether an agent of a sweep has started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def wandb_mode() -> str | None:
    """offline, online or disabled by the variable WANDB_MODE, with or without an agent; None where it is not set.

    Raises InputError for another word.
    """
    word = os.environ.get("WANDB_MODE")
    if not word:
        return None
    if word not in MODES:
        raise InputError(
            f"WANDB_MODE={word}: W&B does not know this word.{nearest(word.lower(), MODES)} Set one of"
            " online, offline, disabled, or unset it."
        )
    return MODES[word]


def sweep_id() -> str | None:
    """The id of the sweep that the agent works at; None without an agent."""
    return os.environ.get("WANDB_SWEEP_ID") or None


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
