"""Runs of this tool's that a W&B project has: what they logged is what a folder of theirs says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ablate.comparison.elsewhere import choosing, foreign, rows
from ablate.comparison.results import Result, defaults
from ablate.comparison.series import NO_POINTS
from ablate.configuration.fingerprint import BUNDLES, NOT_HASHED
from ablate.configuration.values import at, identity, word
from ablate.runs.record import WandbRun
from ablate.runs.tracked.labels import WHOLE

_COSTS = ("params", "macs", "seconds")


@dataclass(frozen=True)
class Uploaded(Result):
    """A run that lies on a server.

    keys    the choices that tell the project's runs apart
    asked   all that are not the defaults
    curve   fetches a metric's curve
    """

    keys: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    curve: Callable[[str], np.ndarray] = field(default=lambda name: np.empty((0, 2)))

    @cached_property
    def typed(self) -> dict[str, str]:
        return self._typed(self.keys)

    @property
    def overrides(self) -> tuple[str, ...]:
        """What makes the run again: every option and value that is not the default's, whether or not others share
        it."""
        others = self._typed([key for key in self.asked if key not in self.typed])
        return (*others.values(), *self.typed.values(), f"seed={self.seed}")

    def _typed(self, keys: Sequence[str]) -> dict[str, str]:
        """As they are typed. A recipe or an experiment that a run does not have is left out."""
        values = {key: self.value(key) for key in keys if self.has(key)}
        return {key: f"{key}={word(value)}" for key, value in values.items() if not (value is None and key in BUNDLES)}

    @property
    def place(self) -> str | None:
        return self.record.wandb.url

    def points(self, name: str, by: str = "epoch") -> np.ndarray:
        """By epoch alone: the history of every step takes too long to fetch."""
        return self.curve(name) if by == "epoch" else NO_POINTS


def is_one(config: Mapping[str, Any]) -> bool:
    """Whether this tool made the run of this configuration."""
    return bool(_recipe(config)) and isinstance(config.get("choices"), dict) and "seed" in config


def said(results: Sequence[Result]) -> list[str]:
    """What W&B does not have of these runs."""
    silent = sum("git" not in result.record.provenance for result in results)
    told = (
        f" {'None' if silent == len(results) else f'{silent} of {len(results)}'} of them"
        f" {'tells' if silent == len(results) else 'do not tell'} W&B code, versions and machine: an older version"
        " trained them."
        if silent
        else ""
    )
    return [f"Read from W&B, which has no gradient of every layer and step: maps are in the runs' own folders.{told}"]


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    return next((config[name] for name in WHOLE if isinstance(config.get(name), dict)), {})


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
    known = replace(known, provenance=foreign.NOWHERE | dict(run.config.get("provenance") or {}))
    own = [key for key in _changed(run.config) if key not in known.choices]
    asked = [axis for axis, option in known.choices.items() if option != defaults()[0].get(axis)] + own
    return Uploaded(None, known, config, (), tuple(asked), lambda name: curve(run, name))


def _status(state: str, said: Any) -> str:
    """What the run said of its end, if it came to it; else what the server saw."""
    return str(said) if said else rows.STATUS.get(state, "failed")


def _shared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe, without what follows from the seed."""
    recipe = {key: value for key, value in _recipe(config).items() if key != "seed"}
    data = recipe.get("data")
    if isinstance(data, dict) and data.get("seed") == config["seed"]:
        recipe["data"] = {key: value for key, value in data.items() if key != "seed"}
    return recipe


def _changed(config: Mapping[str, Any]) -> list[str]:
    """The axes, and the values that are not their options' own, the one that a model or an experiment implies last.

    In an order of their own, since W&B keeps none.
    """
    own = {key: value for key, value in config.items() if key not in ("seed", "choices", "provenance", *WHOLE)}
    kept = sorted(key for key in rows.flat(own) if at(_recipe(config), key) is not None)
    places = {axis: place for place, axis in enumerate(defaults()[0])}
    axes = sorted(config["choices"], key=lambda axis: (places.get(axis, len(places)), axis))
    axes = [axis for axis in axes if axis not in NOT_HASHED]
    first = [axis for axis in (*BUNDLES, "model") if axis in axes]
    return [*first, *(axis for axis in axes if axis not in first), *kept]


def _telling(found: Sequence[Result], keys: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that differ and do not follow from others: a model's usual block is no choice of its own."""
    usable = [key for key in keys if key.partition(".")[0] not in NOT_HASHED and key not in NOT_HASHED]
    table = pd.DataFrame([{key: identity(result.value(key)) for key in usable} for result in found])
    return tuple(choosing.independent(table, usable))
