"""Runs of which nothing but their results is known: those of a simulation, and those of a stored comparison."""

from typing import Any

from ablate.comparison.comparison import Comparison, compare
from ablate.comparison.elsewhere import foreign
from ablate.comparison.elsewhere.foreign import Foreign
from ablate.comparison.variants import Assignment, Entry


def entry(assignment: Assignment, seed: int, metric: str, value: float | None, status: str = "finished") -> Entry:
    """The cell of a run with this result; None where it has none."""
    summary = {} if value is None else {metric: value}
    return Entry(assignment, seed, status, (), Foreign.of(foreign.record(status, seed, summary=summary)))


def again(known: dict[str, Any]) -> Comparison:
    """The comparison of the results in a comparison.json, whatever version wrote it: judged by today's rules."""
    metric = known["metric"]
    entries = [
        entry(variant["assignment"], run["seed"], metric, run["value"], run["status"])
        for variant in known["variants"]
        for run in variant["runs"]
    ]
    return compare(
        entries,
        known["factors"],
        source=known["source"],
        metric=metric,
        why_baseline="",
        goal=known["goal"],
        chance=known.get("chance"),
        margin=known.get("margin"),
        is_paired=known.get("paired", True),
    )
