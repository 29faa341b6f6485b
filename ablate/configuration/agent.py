"""What a W&B agent tells the processes that it starts, by the environment variables that `wandb agent` (0.31) sets."""

import os
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import InputError, nearest

# The words that W&B accepts as WANDB_MODE, and the tracking mode that each one means.
MODES = {"online": "online", "offline": "offline", "disabled": "disabled", "run": "online", "dryrun": "offline"}


def present() -> bool:
    """Whether a W&B agent has started this process."""
    return bool(os.environ.get("WANDB_SWEEP_ID"))


def wandb_mode() -> str | None:
    """offline, online or disabled, as the variable WANDB_MODE says, with or without an agent; None if it is not set.

    Raises InputError if W&B does not know its value.
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
    """The id of the W&B run that the server has created for this process; None without an agent."""
    return os.environ.get("WANDB_RUN_ID") if present() else None


def parameters() -> dict[str, Any]:
    """The run's parameters, by their names in the sweep, read from the file that W&B wrote; empty without an agent."""
    file = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    if not present() or file is None:
        return {}
    entries = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return {name: entry["value"] for name, entry in entries.items() if name != "wandb_version"}
