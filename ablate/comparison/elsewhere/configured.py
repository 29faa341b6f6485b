"""Runs that a tracker has, each with what it was configured with and what came out, as runs to be compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ablate.comparison.elsewhere import choosing, rows
from ablate.comparison.elsewhere.rows import Row
from ablate.comparison.elsewhere.source import Asked, Found
from ablate.comparison.elsewhere.table import paired
from ablate.errors import InputError, nearest

SEEDS = ("seed", "random_seed", "rng_seed", "training.seed", "train.seed", "data.seed")
MANY = 500  # runs beyond which no curves are fetched


@dataclass(frozen=True)
class Logged:
    """One run of a tracker's.

    config   nested or flat
    summary  the last value of each metric, and whatever else
    state    in the tracker's words, None where it has none
    at       where a person finds it
    curve    of a metric: (epoch or step, value) rows
    """

    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    state: str | None
    at: str
    curve: Callable[[str], np.ndarray]
    cost: Mapping[str, float] = field(default_factory=dict)


def found(name: str, runs: Sequence[Logged], asked: Asked) -> Found:
    """The runs, their choices what varies of their configurations. Raises InputError where something is to be asked."""
    if not runs:
        raise InputError(f"{name}: there is no run{' that --filter lets through' if asked.where else ''}.")
    configs = [rows.flat(run.config) for run in runs]
    summaries = [numbers(run.summary) for run in runs]
    metric = _metric(name, summaries, asked.metric)
    keys = dict.fromkeys(key for config in configs for key in config)
    if asked.seed and asked.seed not in keys:
        raise InputError(f"--seed {asked.seed}: no run's configuration has it.{nearest(asked.seed, keys)}")
    seed = asked.seed or next((key for key in SEEDS if key in keys), None)
    table = pd.DataFrame(configs, dtype=object).drop(columns=[seed] if seed else [])
    guess = partial(choosing.guessed, table, choosing.configured, name)
    chosen = choosing.named(table, asked.factors) if asked.factors else guess()
    said = [chosen.sentence("configured value")]
    if lacking := [config for config in configs if seed and _whole(config.get(seed)) is None]:
        said.append(f"Runs without a {seed}, which are numbered: {len(lacking)}.")
    made, averaged = rows.runs(
        [
            _row(run, config, summary, chosen.factors, seed, metric, len(runs) <= MANY)
            for run, config, summary in zip(runs, configs, summaries, strict=True)
        ],
        name,
        asked.average,
    )
    return paired(made, replace(asked, metric=metric), [*said, *averaged], seed)


def _row(
    run: Logged,
    config: Mapping[str, Any],
    summary: Mapping[str, float],
    factors: Sequence[str],
    seed: str | None,
    metric: str,
    with_curves: bool,
) -> Row:
    status, reason = rows.ended(run.state, summary.get(metric), metric)
    wanted = dict.fromkeys((metric.replace("test/", "val/"), "train/loss")) if with_curves else {}
    curves = {key: run.curve(key) for key in wanted} if status == "finished" else {}
    return Row(
        choices={key: config[key] for key in factors if config.get(key) is not None},
        seed=_whole(config.get(seed)) if seed else None,
        status=status,
        summary=dict(summary) | dict(run.cost),
        at=run.at,
        reason=reason or (run.state if status == "failed" else None),
        curves={key: points for key, points in curves.items() if len(points)},
    )


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a summary, those of nested ones by dotted names."""
    return {
        key: float(value)
        for key, value in rows.flat(summary).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _metric(name: str, summaries: Sequence[Mapping[str, float]], asked: str | None) -> str:
    known = sorted({key for summary in summaries for key in summary})
    if asked is None:
        raise InputError(f"{name}: which metric is compared? Add --metric, one of {', '.join(known) or 'none'}.")
    if asked not in known:
        they = f"They have {', '.join(known)}."
        raise InputError(f"--metric {asked}: no run has it.{nearest(asked, known)} {they}")
    return asked


def _whole(value: Any) -> int | None:
    try:
        return int(value) if value is not None and float(value).is_integer() else None
    except (TypeError, ValueError):
        return None
