"""Runs of which nothing but their results is known: those of a simulation, and those of a stored comparison."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.comparison.comparison import Comparison, Told, compare
from ablate.comparison.elsewhere import foreign
from ablate.comparison.elsewhere.foreign import Foreign
from ablate.comparison.variants import Assignment, Entry
from ablate.configuration.values import identity
from ablate.errors import InputError


def entry(assignment: Assignment, seed: int, metric: str, value: float | None, status: str = "finished") -> Entry:
    """The cell of a run with this result; None where it has none."""
    summary = {} if value is None else {metric: value}
    return Entry(assignment, seed, status, (), Foreign.of(foreign.record(status, seed, summary=summary)))


def again(known: dict[str, Any], margin: float | None = None) -> Comparison:
    """The comparison of the results in a comparison.json, whatever version wrote it: judged by today's rules.

    margin  another than its own
    """
    metric = known["metric"]
    entries = [_stored(variant, run, metric) for variant in known["variants"] for run in variant["runs"]]
    comparison = compare(
        entries,
        known["factors"],
        source=known["source"],
        metric=metric,
        why_baseline=known.get("why_baseline", "that of the stored comparison"),
        question=known.get("question"),
        goal=known["goal"],
        chance=known.get("chance"),
        margin=known.get("margin") if margin is None else margin,
        is_paired=known.get("paired", True),
    )
    comparison.told = Told(known.get("made") or "", known.get("mixtures") or {})
    confounds = {identity(variant["assignment"]): variant.get("confounds", []) for variant in known["variants"]}
    for variant in comparison.variants:
        variant.confounds = list(confounds[identity(variant.assignment)])
    return comparison


def read(path: Path, margin: float | None = None) -> Comparison:
    """The comparison of a comparison.json. Raises InputError where the file is none."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return again(known, margin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no comparison.json of a report ({error}).") from error


def _stored(variant: dict[str, Any], run: dict[str, Any], metric: str) -> Entry:
    """A cell with what a comparison.json has of its run; costs are the variant's, but what is compared."""
    found = entry(variant["assignment"], run["seed"], metric, run["value"], run["status"])
    assert found.result is not None
    typed = [word for word in shlex.split(variant.get("command", "")) if "=" in word and not word.startswith("seed=")]
    cost = {name: known for name, known in variant.get("cost", {}).items() if known is not None}
    if metric.startswith("cost/") and run["value"] is not None:
        cost[metric.removeprefix("cost/")] = run["value"]
    record = replace(
        found.result.record,
        fingerprint=run.get("fingerprint") or "",
        cost=cost,
        gradient_flow=run.get("gradient_flow"),
        overrides=typed,
    )
    result = Foreign.of(record, run.get("directory"))
    return replace(found, result=result, overrides=tuple(typed), without=frozenset(variant.get("without", ())))
