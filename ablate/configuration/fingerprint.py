"""The name of a result: a hash of what decides it."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from ablate.configuration.values import at

# What cannot change a result: where things lie, who watches, and how often something is written down.
NOT_HASHED = frozenset(
    (
        "runs_dir",
        "rerun",
        "tracking",
        "watchers",
        "checkpoint",
        "gradient_norms",
        "data.root",
        "data.num_workers",
        "trainer.log_every_n_steps",
        "trainer.logger",
        "trainer.enable_progress_bar",
        "trainer.enable_model_summary",
        "trainer.max_time",
        "trainer.profiler",
    )
)

# Keys that came later, with the value that stands for what every run did before: with that value they are left out, so
# that a result stored before keeps its name.
ADDED: dict[str, Any] = {
    "padding": "both",
    "vary": ["init", "order"],
    "stop_hopeless": None,
    "schedule.threshold": 1e-4,
    "schedule.threshold_mode": "rel",
    "schedule.eps": 1e-8,
    "loss": {"_target_": "ablate.training.objective.losses.CrossEntropy"},
    "metrics": {
        "acc": {"_target_": "ablate.training.objective.metrics.accuracy", "top_k": 1},
        "acc_top5": {"_target_": "ablate.training.objective.metrics.accuracy", "top_k": 5},
    },
    "module": {"_target_": "ablate.training.module.Classifier"},
    "monitor": "auto",
    "monitor_goal": None,
}

# The options of axes that came later, which stand for what every run did before.
OPTIONS = {"metrics": "accuracy", "loss": "cross_entropy", "module": "classifier"}

# Where the same values have come to mean another result: what is hashed beside them, and for which.
REVISED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "a step's loss and gradient are the mean over its batches": lambda values: (
        at(values, "trainer.accumulate_grad_batches") not in (None, 1)
    ),
    "the best weights are those that were validated": lambda values: (
        values.get("result") == "best" and at(values, "trainer.val_check_interval") is not None
    ),
}


def fingerprint(values: dict[str, Any]) -> str:
    """12 hex digits of SHA-256 over the resolved configuration's values, without `NOT_HASHED` and the old values of
    `ADDED`, with the notes of `REVISED` that apply.

    Names of options are not in it, only what they stand for: two ways to ask for the same run have one
    fingerprint, on every machine.
    """
    parts = [f"{key}: {_text(key, json.dumps(values[key]))}" for key in sorted(values) if _counts(key, values[key])]
    parts += [note for note, is_meant in REVISED.items() if is_meant(values)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@cache  # the cells of a sweep have most of their parts in common
def _text(path: str, value: str) -> str:
    """What is hashed of the value at `path`, both as JSON."""
    return json.dumps(_hashed(json.loads(value), path), sort_keys=True)


def _counts(path: str, value: Any) -> bool:
    """Whether the value at `path` is hashed."""
    return path not in NOT_HASHED and not (path in ADDED and value == ADDED[path])


def _hashed(value: Any, path: str) -> Any:
    """What of `value`, which stands at `path`, is hashed. 1.0 and 1 are the same number, however they were typed, but
    to Lightning's Trainer: there they can be all batches and one batch."""
    if isinstance(value, dict):
        inner = ((str(key), f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        return {key: _hashed(item, place) for key, place, item in inner if _counts(place, item)}
    if isinstance(value, list):
        return [_hashed(item, path) for item in value]
    is_whole = isinstance(value, float) and value.is_integer() and not path.startswith("trainer.")
    return int(value) if is_whole else value
