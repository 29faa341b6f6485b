"""Rows of a table as runs: each with its choices, its seed, how it ended and what was measured."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ablate.comparison.elsewhere import foreign
from ablate.comparison.elsewhere.foreign import Foreign
from ablate.configuration.values import word
from ablate.errors import InputError

NAMED = 3  # cells with several rows that are named
COSTS = ("params", "macs", "seconds")

# What other programs call how a run ended.
STATUS = {
    **dict.fromkeys(("finished", "completed", "complete", "success", "succeeded", "done", "ok"), "finished"),
    **dict.fromkeys(("failed", "crashed", "error", "failure"), "failed"),
    **dict.fromkeys(("killed", "preempted", "preempting", "cancelled", "canceled", "interrupted"), "interrupted"),
    **dict.fromkeys(("running", "pending", "scheduled"), "running"),
    "diverged": "diverged",
    "stopped": "stopped",
}


@dataclass(frozen=True)
class Row:
    """One run, as its source tells it.

    choices   those that it has
    seed      None where none is known
    status    one of the run store's
    summary   metrics
    at        where a person finds it, such as "line 5"
    """

    choices: Mapping[str, Any]
    seed: int | None
    status: str
    summary: Mapping[str, float]
    at: str
    reason: str | None = None
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def where(self) -> Hashable:
        return tuple((key, word(value)) for key, value in self.choices.items())

    def says(self) -> str:
        return " ".join(f"{key}={word(value)}" for key, value in self.choices.items())


def ended(word_of_status: Any, value: float | None, metric: str) -> tuple[str, str | None]:
    """How a run ended, and why it counts so. word_of_status: the source's, None where it has none."""
    said = str(word_of_status).strip() if word_of_status is not None else ""
    known = STATUS.get(said.lower())
    if known and (known != "finished" or _is_number(value)):
        return known, None
    if value is not None and math.isinf(value):
        return "diverged", None
    if _is_number(value):
        return "finished", None
    return "failed", said or f"no {metric}"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def flat(config: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """A nested configuration by dotted names; what a tracker keeps for itself, under an underscore, is left out."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if not place and str(key).startswith("_"):
            continue
        name = f"{place}.{key}" if place else str(key)
        found |= flat(value, name) if isinstance(value, Mapping) and value else {name: value}
    return found


def runs(rows: Sequence[Row], source: str, average: bool) -> tuple[list[Foreign], list[str]]:
    """The rows as runs, and what is said of them. Those without a seed are numbered.

    Raises InputError where several rows have the same choices and seed, unless their mean is asked for.
    """
    # Those without a seed get numbers that are no run's.
    free = max((row.seed for row in rows if row.seed is not None), default=-1) + 1
    numbers: dict[Hashable, int] = {}
    cells: dict[tuple[Hashable, int], list[Row]] = {}
    for row in rows:
        seed = row.seed
        if seed is None:
            seed = numbers[row.where] = numbers.get(row.where, free - 1) + 1
        cells.setdefault((row.where, seed), []).append(row)
    several = [group for group in cells.values() if len(group) > 1]
    if several and not average:
        listed = "; ".join(f"{_places(group)}: {group[0].says()} seed={group[0].seed}" for group in several[:NAMED])
        more = f"; {len(several) - NAMED} more" if len(several) > NAMED else ""
        raise InputError(
            f"{source}: several rows have the same choices and seed ({listed}{more}). Take the wrong ones out, name the"
            " column that tells them apart with --factors, or type --average to count their mean."
        )
    said = [f"Runs that are the mean of several rows: {len(several)}."] if several else []
    return [_run(group, seed, source) for (_, seed), group in cells.items()], said


def _run(group: Sequence[Row], seed: int, source: str) -> Foreign:
    """One run; of several rows their mean, and what became of the last where they did not all finish."""
    *_, last = sorted(group, key=lambda row: row.status != "finished")
    finished = pd.DataFrame([row.summary for row in group])
    summary = {str(name): float(value) for name, value in finished.mean(skipna=False).items() if math.isfinite(value)}
    cost = {name: summary[name] for name in COSTS if name in summary}
    known = foreign.record(
        last.status,
        seed,
        choices=dict(last.choices),
        summary={name: value for name, value in summary.items() if name not in cost},
        cost=cost,
        reason=last.reason,
        **last.more,
    )
    return Foreign.of(known, f"{_places(group)} of {source}", last.curves)


def _places(group: Sequence[Row]) -> str:
    """`line 10`, or `lines 10 and 11`."""
    places = [row.at for row in group]
    if len(places) == 1:
        return places[0]
    kind = places[0].partition(" ")[0]
    numbers = [place.partition(" ")[2] for place in places]
    return f"{kind}s {', '.join(numbers[:-1])} and {numbers[-1]}"
