"""The fingerprint of a run: a hash of everything in its configuration that can change the result."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from ablate.configuration.values import at

# What cannot change a result: folders, tracking, and how often something is recorded.
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

# Keys added in later versions, with the value that means what every run did before. With this value a key is not
# hashed, so that results stored earlier keep their fingerprints.
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

# Axes added in later versions, with the option that means what every run did before.
OPTIONS = {"metrics": "accuracy", "loss": "cross_entropy", "module": "classifier"}

# Axes whose options choose and set what belongs to others: these count, not the name.
BUNDLES = ("experiment", "recipe")

# Changes of what the same values mean: a note that is hashed too, and a test for the values that it concerns.
REVISED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "a step's loss and gradient are the mean over its batches": lambda values: (
        at(values, "trainer.accumulate_grad_batches") not in (None, 1)
    ),
    "the best weights are those that were validated": lambda values: (
        values.get("result") == "best" and at(values, "trainer.val_check_interval") is not None
    ),
}


def fingerprint(values: dict[str, Any]) -> str:
    """12 hex digits of SHA-256 over the resolved configuration, without the keys in `NOT_HASHED`, without those that
    have their `ADDED` value, and with the notes of `REVISED` that apply.

    Options count by their values, not by their names. So two ways to ask for the same run have the same fingerprint,
    on every machine.
    """
    parts = [f"{key}: {_text(key, json.dumps(values[key]))}" for key in sorted(values) if _counts(key, values[key])]
    parts += [note for note, applies in REVISED.items() if applies(values)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@cache  # the cells of a sweep share most of their values
def _text(path: str, value: str) -> str:
    """The part that is hashed of the value at `path`. Both are JSON."""
    return json.dumps(_hashed(json.loads(value), path), sort_keys=True)


def _counts(path: str, value: Any) -> bool:
    """Whether the value at `path` is hashed."""
    return path not in NOT_HASHED and not (path in ADDED and value == ADDED[path])


def _hashed(value: Any, path: str) -> Any:
    """The part that is hashed of `value`, which is found at `path`. 1.0 and 1 count as the same number, except below
    `trainer`: for Lightning, 1.0 can mean all batches and 1 one batch."""
    if isinstance(value, dict):
        inner = ((str(key), f"{path}.{key}" if path else str(key), item) for key, item in value.items())
        return {key: _hashed(item, place) for key, place, item in inner if _counts(place, item)}
    if isinstance(value, list):
        return [_hashed(item, path) for item in value]
    is_whole = isinstance(value, float) and value.is_integer() and not path.startswith("trainer.")
    return int(value) if is_whole else value
