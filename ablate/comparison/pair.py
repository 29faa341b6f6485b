"""Two runs, or two variants, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.comparison import retyped
from ablate.comparison.beside import Group, groups, left_out
from ablate.comparison.comparison import Comparison, compare
from ablate.comparison.gathering import from_results
from ablate.comparison.results import Result, differences, read
from ablate.comparison.variants import Entry, Variant
from ablate.configuration.values import identity, word
from ablate.errors import InputError
from ablate.statistics.paired import Estimate


@dataclass(frozen=True)
class Pair:
    """The comparison of two, and what one looks at besides.

    configuration  where the two differ: key, value of the first, value of the second; options of axes first
    metrics        every metric of their summaries, over the seeds of each
    """

    comparison: Comparison
    configuration: list[tuple[str, Any, Any]]
    metrics: list[tuple[str, Estimate, Estimate]]


def pair(
    results: Sequence[Result],
    first: str,
    second: str,
    metric: str,
    goal: str | None = None,
    margin: float | None = None,
    source: str = "runs",
    is_paired: bool = True,
) -> Pair:
    """Compare `first`, the baseline, with `second`: each a run's directory or fingerprint, or values such as
    norm=none,shortcut=projection. Of variants that were trained for several lengths, those runs are taken of
    which both have most seeds.

    source  of the results, as typed
    is_paired  whether their runs of one seed pair

    Raises InputError where a name fits no run, or not one variant alone.
    """
    runs = [_run(results, name) for name in (first, second)]
    if all(runs):
        alone = [run for run in runs if run]
        sides = [[run] for run in alone]
        names: list[dict[str, Any]] = [{"run": run.fingerprint} for run in alone]
        entries = [
            Entry(name, run.seed, run.record.status, typed, run)
            for name, run, typed in zip(names, alone, retyped.overrides(alone), strict=True)
        ]
    else:
        group, variants, others = _of_most_seeds(results, first, second, metric, goal)
        sides = [variant.results for variant in variants]
        a, b = (variant.assignment for variant in variants)
        apart = [key for key in a if identity(a[key]) != identity(b[key])]
        names = [{key: assignment[key] for key in apart} for assignment in (a, b)]
        entries = [
            Entry(name, entry.seed, entry.status, entry.overrides, entry.result, entry.reason, entry.superseded)
            for name, variant in zip(names, variants, strict=True)
            for entry in variant.entries
        ]
    if names[0] == names[1]:
        raise InputError(f"--compare {first} {second}: the two are the same.")
    if not all(sides):
        raise InputError(f"--compare {first} {second}: {(first, second)[bool(sides[0])]} has not been run.")
    factors = {key: [names[0][key], names[1][key]] for key in names[0]}
    comparison = compare(
        entries,
        factors,
        source=f"{first} and {second}",
        metric=metric,
        why_baseline="the first of the two",
        goal=goal,
        margin=margin,
        is_paired=is_paired,
    )
    if not all(runs):
        comparison.besides += left_out(group, others, source)
    for variant in comparison.variants:
        variant.label = " ".join(f"{key}={word(value)}" for key, value in variant.choices.items())
    return Pair(comparison, _configuration(*(side[0] for side in sides)), _metrics(*sides))


def _run(results: Sequence[Result], name: str) -> Result | None:
    if "=" in name:
        return None
    known = [result for result in results if name in (result.fingerprint, result.name)]
    found = known[0] if known else read(Path(name))
    if found is None:
        raise InputError(f"--compare {name}: there is no such run. A run is named by its directory or fingerprint.")
    return found


def _of_most_seeds(
    results: Sequence[Result], first: str, second: str, metric: str, goal: str | None
) -> tuple[Group, list[Variant], list[Group]]:
    """The group of runs in which both variants have most seeds, the two, and the other groups that have both."""
    named = {part.partition("=")[0] for name in (first, second) for part in name.split(",")}
    found, refusal = [], None
    for group in groups(results, besides=named):
        try:
            variants = [_variant(group.results, name, metric, goal) for name in (first, second)]
        except InputError as error:
            refusal = refusal or error
            continue
        found.append((min(len(variant.results) for variant in variants), group, variants))
    if not found:
        assert refusal is not None
        raise refusal
    found.sort(key=lambda each: -each[0])
    (_, group, variants), *others = found
    return group, variants, [other for _, other, _ in others]


def _variant(results: Sequence[Result], name: str, metric: str, goal: str | None) -> Variant:
    if "=" not in name:
        raise InputError(f"--compare {name}: two runs, or two variants such as norm=none,shortcut=projection.")
    variants = from_results(results, "", metric, goal=goal).variants
    for part in name.split(","):
        key, _, value = part.partition("=")
        if key not in variants[0].assignment:
            raise InputError(f"--compare {name}: {key} is not a choice that varies here.")
        variants = [v for v in variants if word(v.assignment[key]) == value]
        if not variants:
            raise InputError(f"--compare {name}: no run has {key}={value}.")
    # The choices that are not named are the baseline's, which stands first.
    return variants[0]


def _configuration(a: Result, b: Result) -> list[tuple[str, Any, Any]]:
    options = {
        key: (a.record.choices.get(key), b.record.choices.get(key))
        for key in dict.fromkeys([*a.record.choices, *b.record.choices])
    }
    seeds = {"seed": (a.seed, b.seed)} if a.seed != b.seed else {}
    apart = {key: ends for key, ends in options.items() if ends[0] != ends[1]} | seeds | differences(a.config, b.config)
    return [(key, *ends) for key, ends in apart.items()]


def _metrics(a: Sequence[Result], b: Sequence[Result]) -> list[tuple[str, Estimate, Estimate]]:
    names = sorted({name for result in (*a, *b) for name in result.record.summary})

    def estimate(runs: Sequence[Result], name: str) -> Estimate:
        values = (run.record.summary.get(name) for run in runs)
        return Estimate(tuple(value for value in values if isinstance(value, int | float)))

    return [(name, estimate(a, name), estimate(b, name)) for name in names]
