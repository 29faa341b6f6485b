"""Runs as one comparison: variants, paired by seed with the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from ablate.comparison.confounds import confounds, mixtures, outdated
from ablate.comparison.variants import Assignment, Entry, Variant, levels, move_first
from ablate.comparison.verdicts import guessing, judge
from ablate.configuration.values import identity, word
from ablate.errors import InputError, nearest
from ablate.runs.origin import Here
from ablate.statistics.effects import Effect, crossed
from ablate.statistics.gaps import Levels
from ablate.statistics.paired import LEVEL, variance_shares
from ablate.training.goal import MINIMIZE, goal_of

if TYPE_CHECKING:
    from ablate.comparison.looking.rounds import Declared


@dataclass(frozen=True)
class Told:
    """What a stored comparison says of runs that are not here.

    made      how long they took, and on what
    mixtures  what they do not share: of each such fact how many runs have which value
    """

    made: str
    mixtures: dict[str, dict[str, int]]


@dataclass
class Comparison:
    """Everything that a report says.

    goal        maximize or minimize
    chance      the accuracy of guessing, where the metric is an accuracy
    margin      the difference up to which two are equivalent, in the metric's own units, where one is given
    factors     the choices that vary, each with its values, the baseline's first
    effects     main effects and interactions, where choices are crossed
    why_baseline  how the baseline was chosen
    besides     what lies beside these runs and is not compared: sentences that are said first
    rounds      the rules by which seeds were added, where they were added in rounds
    told        what is said of runs that are not here, where a stored comparison is compared again
    is_paired   whether runs of one seed share initialisation and batches, so that their differences are compared
    """

    question: str | None
    source: str
    metric: str
    goal: str
    factors: dict[str, list[Any]]
    variants: list[Variant]
    why_baseline: str
    effects: list[Effect]
    chance: float | None
    margin: float | None = None
    besides: list[str] = field(default_factory=list)
    rounds: "Declared | None" = None
    told: Told | None = None
    is_paired: bool = True

    @property
    def baseline(self) -> Variant:
        return next(variant for variant in self.variants if variant.is_baseline)

    @property
    def sign(self) -> int:
        return -1 if self.goal == MINIMIZE else 1

    @property
    def mixtures(self) -> dict[str, dict[str, int]]:
        """The facts that the runs do not share: how many have which value."""
        if self.told:
            return self.told.mixtures
        return mixtures([result for variant in self.variants for result in variant.results])

    @property
    def family(self) -> int:
        """How many tests p is corrected for: those of variants, main effects and interactions."""
        tests = [*(variant.test for variant in self.variants), *(effect.test for effect in self.effects)]
        return sum(test is not None and test.p is not None for test in tests)

    @property
    def level(self) -> float:
        """The level of each single test at which all of them together keep 5%."""
        return LEVEL / max(1, self.family)

    @cached_property
    def by_levels(self) -> dict[Levels, Variant]:
        return {levels(variant.assignment, self.factors): variant for variant in self.variants}

    @cached_property
    def cells(self) -> dict[Levels, dict[int, float]]:
        """Each combination's results by seed."""
        return {where: variant.values for where, variant in self.by_levels.items()}

    @cached_property
    def variance_seeds(self) -> list[int]:
        """Those that every combination has, where choices are crossed completely and seeds pair."""
        return crossed(self.cells, self.factors) if self.effects and self.is_paired else []

    @cached_property
    def variance(self) -> list[dict[str, Any]]:
        """How much of the variance each choice explains, where every combination has a seed in common."""
        rows = [(where, seed, self.cells[where][seed]) for where in self.cells for seed in self.variance_seeds]
        columns = len(self.variance_seeds) + len(self.effects)
        # More runs than terms, or nothing is left to estimate the noise by; and a design matrix that fits into memory.
        if len(rows) <= columns + 1 or columns > 400 or len({value for *_, value in rows}) < 2:
            return []
        return variance_shares(
            [value for *_, value in rows],
            [seed for _, seed, _ in rows],
            {key: [where[i] for where, *_ in rows] for i, key in enumerate(self.factors)},
        )

    def count(self, *statuses: str) -> int:
        return sum(len(variant.seeds(*statuses)) for variant in self.variants)


def compare(
    entries: Sequence[Entry],
    factors: dict[str, list[Any]],
    *,
    source: str,
    metric: str,
    why_baseline: str,
    chosen: Mapping[str, str] | None = None,
    question: str | None = None,
    goal: str | None = None,
    chance: float | None = None,
    margin: float | None = None,
    is_paired: bool = True,
) -> Comparison:
    """Group cells into variants, in the order of their first cells, and compare each with the baseline: each factor's
    first value, or the `chosen` one.

    Raises InputError where no variant has the chosen values, no run has the metric, or its goal is unknown.
    """
    factors = {key: list(values) for key, values in factors.items()}
    for key, typed in (chosen or {}).items():
        move_first(factors.setdefault(key, []), _named(factors, key, typed))
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(identity(entry.assignment), []).append(entry)
    first = _closest(groups, factors, bool(chosen))
    for key, values in factors.items():
        move_first(values, first.assignment[key])
    variants = [
        Variant(
            assignment=group[0].assignment,
            label=label(group[0].assignment, first.assignment),
            entries=sorted(group, key=lambda entry: entry.seed),
            metric=metric,
            is_baseline=group[0].assignment == first.assignment,
        )
        for group in groups.values()
    ]
    variants.sort(key=lambda variant: not variant.is_baseline)
    _check_metric(variants, metric)
    comparison = Comparison(
        question=question,
        source=source,
        metric=metric,
        goal=goal_of(metric, goal or _recorded_goal(variants, metric)),
        factors=factors,
        variants=variants,
        why_baseline=f"chosen by --baseline {' '.join(f'{k}={v}' for k, v in chosen.items())}"
        if chosen
        else why_baseline,
        effects=[],
        chance=chance or guessing(variants, metric),
        margin=margin,
        is_paired=is_paired,
    )
    judge(comparison)
    here = Here(may_read=False)
    for variant in variants:
        variant.outdated = outdated(variant.results, here)
        variant.confounds = confounds(
            variant.results,
            comparison.baseline.results,
            besides=factors,
            superseded=[result for entry in variant.entries for result in entry.superseded],
            stale=variant.outdated,
        )
        if same := {other for entry in variant.entries for other in entry.same}:
            variant.confounds.append(f"the plan has cells that come out identical: {', '.join(sorted(same)[:3])}")
    return comparison


def _check_metric(variants: Sequence[Variant], metric: str) -> None:
    summaries = [r.metrics for v in variants for r in v.results if r.record.status == "finished"]
    if summaries and not any(metric in summary for summary in summaries):
        known = sorted({name for summary in summaries for name in summary})
        raise InputError(f"--metric {metric}: no run has it.{nearest(metric, known)} They have {', '.join(known)}.")


def _recorded_goal(variants: Sequence[Variant], metric: str) -> str | None:
    """Which way of the metric is up, as its runs say; None where none does, or not all the same."""
    found = {(result.record.goals or {}).get(metric) for variant in variants for result in variant.results} - {None}
    return found.pop() if len(found) == 1 else None


def _closest(groups: Mapping[str, list[Entry]], factors: Mapping[str, Sequence[Any]], exactly: bool) -> Entry:
    """A cell of the variant that has the first value of most factors."""
    entry = min((group[0] for group in groups.values()), key=lambda e: sum(map(bool, levels(e.assignment, factors))))
    missing = [key for key, values in factors.items() if identity(entry.assignment[key]) != identity(values[0])]
    if exactly and missing:
        wanted = " ".join(f"{key}={word(values[0])}" for key, values in factors.items())
        raise InputError(
            f"--baseline: there is no variant {wanted}. The nearest has another value of {', '.join(missing)}."
        )
    return entry


def label(assignment: Assignment, baseline: Assignment) -> str:
    """By what a variant differs from the baseline."""
    apart = [f"{k}={word(v)}" for k, v in assignment.items() if identity(v) != identity(baseline[k])]
    return " ".join(apart) or "baseline"


def _named(factors: Mapping[str, Sequence[Any]], key: str, typed: str) -> Any:
    if not factors.get(key):
        known = ", ".join(factors) or "none"
        raise InputError(f"--baseline {key}={typed}: {key} is not a choice that varies here. Those that do: {known}.")
    for value in factors[key]:
        if word(value) == typed or identity(value) == identity(yaml.safe_load(typed)):
            return value
    values = ", ".join(word(value) for value in factors[key])
    raise InputError(f"--baseline {key}={typed}: no run has this value. They have {values}.")
