"""The name of a result: a hash of what decides it."""

import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

# What cannot change a result: where things lie, who watches, and how often something is written down.
NOT_HASHED = (
    "runs_dir",
    "rerun",
    "tracking",
    "checkpoint",
    "gradient_norms",
    "data.root",
    "data.num_workers",
    "trainer.log_every_n_steps",
    "trainer.logger",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.profiler",
)


def fingerprint(cfg: DictConfig) -> str:
    """12 hex digits of SHA-256 over the resolved configuration, `NOT_HASHED` left out.

    Names of options are not in it, only what they stand for: two ways to ask for the same run have one
    fingerprint, on every machine.
    """
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    for path in NOT_HASHED:
        *parents, key = path.split(".")
        holder: Any = values
        for parent in parents:
            holder = holder.get(parent, {})
        holder.pop(key, None)
    text = json.dumps(_plain(values), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """1.0 and 1 are the same number, however they were typed."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
