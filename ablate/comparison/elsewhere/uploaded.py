"""Runs of this tool's that a W&B project has: what they logged is what a folder of theirs says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ablate.comparison.elsewhere import choosing, foreign, rows
from ablate.comparison.results import Result
from ablate.comparison.series import NO_POINTS
from ablate.configuration.fingerprint import NOT_HASHED
from ablate.configuration.values import at, identity, word
from ablate.runs.record import WandbRun

_COSTS = ("params", "macs", "seconds")


@dataclass(frozen=True)
class Uploaded(Result):
    """A run that lies on a server.

    keys    the choices that tell the project's runs apart
    curve   fetches a metric's curve
    """

    keys: tuple[str, ...] = ()
    curve: Callable[[str], np.ndarray] = field(default=lambda name: np.empty((0, 2)))

    @cached_property
    def typed(self) -> dict[str, str]:
        return {key: f"{key}={word(self.value(key))}" for key in self.keys if self.has(key)}

    @property
    def overrides(self) -> tuple[str, ...]:
        return (*self.typed.values(), f"seed={self.seed}")

    @property
    def place(self) -> str | None:
        return self.record.wandb.url

    def points(self, name: str, by: str = "epoch") -> np.ndarray:
        """By epoch alone: the history of every step takes too long to fetch."""
        return self.curve(name) if by == "epoch" else NO_POINTS


def is_one(config: Mapping[str, Any]) -> bool:
    """Whether this tool made the run of this configuration."""
    return isinstance(config.get("recipe"), dict) and isinstance(config.get("choices"), dict) and "seed" in config


def results(runs: Sequence[Any], curve: Callable[[Any, str], np.ndarray]) -> list[Result]:
    """The runs of W&B's API. curve: fetches a metric's curve of one."""
    configs = {identity(_shared(run.config)): _shared(run.config) for run in runs}  # one for all seeds
    found = [_result(run, configs[identity(_shared(run.config))], curve) for run in runs]
    keys = _telling(found, dict.fromkeys(key for run in runs for key in _changed(run.config)))
    return [replace(result, keys=keys) for result in found]


def _result(run: Any, config: dict[str, Any], curve: Callable[[Any, str], np.ndarray]) -> "Uploaded":
    summary = run.summary_metrics
    numbers = {
        key: value
        for key, value in summary.items()
        if isinstance(value, int | float) and not key.startswith("_") and key not in (*_COSTS, "epoch")
    }
    known = foreign.record(
        _status(run.state, summary.get("status")),
        run.config["seed"],
        fingerprint=str(summary.get("fingerprint", "")),
        name=run.name or run.id,
        choices=run.config["choices"],
        summary=numbers,
        cost={name: summary[name] for name in _COSTS if name in summary},
        wandb=WandbRun(id=run.id, mode="online", url=run.url),
        started=str(run.created_at),
        gradient_flow=summary.get("gradient_flow/verdict"),
    )
    return Uploaded(None, known, config, (), lambda name: curve(run, name))


def _status(state: str, said: Any) -> str:
    """What the run said of its end, if it came to it; else what the server saw."""
    return str(said) if said else rows.STATUS.get(state, "failed")


def _shared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe, without what follows from the seed."""
    recipe = {key: value for key, value in config["recipe"].items() if key != "seed"}
    data = recipe.get("data")
    if isinstance(data, dict) and data.get("seed") == config["seed"]:
        recipe["data"] = {key: value for key, value in data.items() if key != "seed"}
    return recipe


def _changed(config: Mapping[str, Any]) -> list[str]:
    """The axes, and the values that are not their options' own, the one that a model or an experiment implies last."""
    values = [key for key in rows.flat(config) if key != "seed" and not key.startswith(("recipe", "choices"))]
    kept = [key for key in values if at(config["recipe"], key) is not None]
    axes = [axis for axis in config["choices"] if axis not in NOT_HASHED]
    first = [axis for axis in ("experiment", "model") if axis in axes]
    return [*first, *(axis for axis in axes if axis not in first), *kept]


def _telling(found: Sequence[Result], keys: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that differ and do not follow from others: a model's usual block is no choice of its own."""
    usable = [key for key in keys if key.partition(".")[0] not in NOT_HASHED and key not in NOT_HASHED]
    table = pd.DataFrame([{key: identity(result.value(key)) for key in usable} for result in found])
    return tuple(choosing.independent(table, usable))
