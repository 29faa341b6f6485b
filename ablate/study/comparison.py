"""Runs as one comparison: variants, paired by seed with the baseline."""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml
from omegaconf import OmegaConf

from ablate.errors import InputError
from ablate.study.confounds import confounds
from ablate.study.effects import Effect, crossed, effects
from ablate.study.results import Result, at, identity, varied
from ablate.study.statistics import LEVEL, Difference, Estimate, Outperforming, holm, outperforming, variance_shares

Assignment = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One cell of a study, whether or not it has been run.

    status      todo, invalid, or its run's
    reason      why it is invalid
    overrides   what is typed to run it
    superseded  other runs of the same choices and seed, which do not count
    """

    assignment: Assignment
    seed: int
    status: str
    overrides: tuple[str, ...]
    result: Result | None = None
    reason: str | None = None
    superseded: tuple[Result, ...] = ()


@dataclass
class Variant:
    """One combination of choices with its cells, one per seed, and what they say against the baseline.

    difference     to the baseline, over the seeds that both have finished; None for the baseline itself
    p_holm         the difference's p-value, corrected for all variants that are compared
    outperforming  over the seeds in which both have ended, diverged ones counted as lost
    """

    assignment: Assignment
    label: str
    entries: list[Entry]
    metric: str
    is_baseline: bool = False
    difference: Difference | None = None
    paired_seeds: tuple[int, ...] = ()
    p_holm: float | None = None
    outperforming: Outperforming | None = None
    confounds: list[str] = field(default_factory=list)

    @cached_property
    def results(self) -> list[Result]:
        return [entry.result for entry in self.entries if entry.result]

    @cached_property
    def values(self) -> dict[int, float]:
        """The metric by seed, of finished runs; a value that is not finite is none."""
        return {
            result.seed: float(value)
            for result in self.results
            if result.record["status"] == "finished"
            and (value := result.record["summary"].get(self.metric)) is not None
            and math.isfinite(value)
        }

    @cached_property
    def estimate(self) -> Estimate:
        return Estimate(tuple(self.values.values()))

    def seeds(self, *statuses: str) -> list[int]:
        return [entry.seed for entry in self.entries if entry.status in statuses]

    def cost(self, name: str) -> float | None:
        """The median over the runs of params, macs or seconds."""
        costs = sorted(r.record["cost"][name] for r in self.results if r.record["cost"].get(name) is not None)
        return costs[len(costs) // 2] if costs else None

    @property
    def gradient_flow(self) -> dict[str, int]:
        """How many runs were judged what, where runs were."""
        verdicts = (verdict(result) for result in self.results)
        return dict(Counter(found for found in verdicts if found).most_common())

    def command(self, seeds: Iterable[int] | None = None) -> str:
        """What makes these runs, or those of some seeds, again."""
        wanted = [entry.seed for entry in self.entries] if seeds is None else list(seeds)
        overrides = [text for text in self.entries[0].overrides if text.split("=")[0].lstrip("+") != "seed"]
        many = ["-m"] if len(wanted) > 1 else []
        return shlex.join(["python", "-m", "ablate", *many, *overrides, f"seed={','.join(map(str, wanted))}"])


@dataclass
class Comparison:
    """Everything that a report says.

    goal        maximize or minimize
    factors     the choices that vary, each with its values, the baseline's first
    effects     main effects and interactions, where choices are crossed
    variance    how much of the variance each choice explains, where every combination has a seed in common
    why_baseline  how the baseline was chosen
    """

    question: str | None
    source: str
    metric: str
    goal: str
    factors: dict[str, list[Any]]
    variants: list[Variant]
    why_baseline: str
    effects: list[Effect]
    variance: list[dict[str, Any]]
    variance_seeds: list[int]

    @property
    def baseline(self) -> Variant:
        return next(variant for variant in self.variants if variant.is_baseline)

    @property
    def sign(self) -> int:
        return -1 if self.goal == "minimize" else 1

    @property
    def level(self) -> float:
        """The level of one of the comparisons such that all together keep 5%."""
        return LEVEL / max(1, sum(variant.difference is not None for variant in self.variants))

    def count(self, *statuses: str) -> int:
        return sum(len(variant.seeds(*statuses)) for variant in self.variants)


def from_results(
    results: Sequence[Result], source: str, metric: str = "test/acc", chosen: Mapping[str, str] | None = None
) -> Comparison:
    """Compare runs by what was typed for them. `chosen` names the baseline's values where it is not the defaults."""
    factors = varied(results)
    defaults = _defaults(factors)
    why = "the defaults, as far as runs have them" if factors else "the only variant"
    for key, values in factors.items():
        ours = [value for value in values if identity(value) == identity(defaults[key])]
        _move_first(values, ours[0] if ours else results[0].value(key))
    by_cell: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        cell = identity({key: result.value(key) for key in factors})
        by_cell.setdefault((cell, result.seed), []).append(result)
    entries = []
    for runs in by_cell.values():
        # A finished run before one that is not, then the latest.
        *older, result = sorted(runs, key=lambda r: (r.record["status"] == "finished", r.record["started"]))
        entries.append(
            Entry(
                assignment={key: result.value(key) for key in factors},
                seed=result.seed,
                status=result.record["status"],
                overrides=tuple(result.record["overrides"]),
                result=result,
                superseded=tuple(older),
            )
        )
    return compare(entries, factors, source=source, metric=metric, chosen=chosen, why_baseline=why)


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
) -> Comparison:
    """Group cells into variants and compare each with the baseline: of each factor the first value, or the `chosen` one.

    Raises InputError where no variant has the chosen values, or no run has the metric.
    """
    factors = {key: list(values) for key, values in factors.items()}
    for key, text in (chosen or {}).items():
        _move_first(factors.setdefault(key, []), _named(factors, key, text))
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(identity(entry.assignment), []).append(entry)
    first = _closest(groups, factors, bool(chosen))
    for key, values in factors.items():
        _move_first(values, first.assignment[key])
    variants = [
        Variant(
            assignment=group[0].assignment,
            label=_label(group[0].assignment, first.assignment),
            entries=sorted(group, key=lambda entry: entry.seed),
            metric=metric,
            is_baseline=group[0].assignment == first.assignment,
        )
        for group in groups.values()
    ]
    variants.sort(key=lambda variant: (not variant.is_baseline, *_levels(variant.assignment, factors)))
    _check_metric(variants, metric)
    comparison = Comparison(
        question=question,
        source=source,
        metric=metric,
        goal=goal or ("minimize" if metric.endswith("loss") else "maximize"),
        factors=factors,
        variants=variants,
        why_baseline=f"chosen by --baseline {' '.join(f'{k}={v}' for k, v in chosen.items())}" if chosen else why_baseline,
        effects=[],
        variance=[],
        variance_seeds=[],
    )
    _against_baseline(comparison)
    _factorial(comparison)
    for variant in variants:
        variant.confounds = confounds(
            variant.results,
            comparison.baseline.results,
            besides=factors,
            superseded=[result for entry in variant.entries for result in entry.superseded],
        )
    return comparison


def verdict(result: Result) -> str | None:
    """What the run's gradient flow was judged to be, where it was."""
    found = result.record["summary"].get("gradient_flow/verdict") or result.record.get("gradient_flow")
    if isinstance(found, Mapping):
        found = found.get("verdict")
    return found if isinstance(found, str) else None


def _against_baseline(comparison: Comparison) -> None:
    baseline, sign = comparison.baseline, comparison.sign
    theirs = _outcomes(baseline, sign)
    compared = []
    for variant in comparison.variants:
        if variant.is_baseline:
            continue
        common = [seed for seed in variant.values if seed in baseline.values]
        if common:
            variant.paired_seeds = tuple(common)
            variant.difference = Difference(tuple(variant.values[seed] - baseline.values[seed] for seed in common))
            compared.append(variant)
        ours = _outcomes(variant, sign)
        ended = [seed for seed in ours if seed in theirs]
        variant.outperforming = outperforming([ours[seed] for seed in ended], [theirs[seed] for seed in ended])
    corrected = holm([variant.difference.p if variant.difference else None for variant in compared])
    for variant, p in zip(compared, corrected, strict=True):
        variant.p_holm = p


def _outcomes(variant: Variant, sign: int) -> dict[int, float]:
    lost = dict.fromkeys(variant.seeds("diverged"), -math.inf)
    return {seed: sign * value for seed, value in variant.values.items()} | lost


def _factorial(comparison: Comparison) -> None:
    factors = comparison.factors
    cells = {_levels(variant.assignment, factors): variant.values for variant in comparison.variants}
    comparison.effects = effects(factors, cells)
    comparison.variance_seeds = crossed(cells, factors) if comparison.effects else []
    rows = [(levels, seed, cells[levels][seed]) for levels in cells for seed in comparison.variance_seeds]
    columns = len(comparison.variance_seeds) + len(comparison.effects)
    # More runs than terms, or nothing is left to estimate the noise by; and a design matrix that fits into memory.
    if len(rows) > columns + 1 and columns <= 400 and len({value for *_, value in rows}) > 1:
        comparison.variance = variance_shares(
            [value for *_, value in rows],
            [seed for _, seed, _ in rows],
            {key: [levels[i] for levels, *_ in rows] for i, key in enumerate(factors)},
        )


def _check_metric(variants: Sequence[Variant], metric: str) -> None:
    summaries = [r.record["summary"] for v in variants for r in v.results if r.record["status"] == "finished"]
    if summaries and not any(metric in summary for summary in summaries):
        known = ", ".join(sorted({name for summary in summaries for name in summary}))
        raise InputError(f"--metric {metric}: no run has it. They have {known}.")


def _levels(assignment: Assignment, factors: Mapping[str, Sequence[Any]]) -> tuple[int, ...]:
    return tuple([identity(v) for v in values].index(identity(assignment[key])) for key, values in factors.items())


def _closest(groups: Mapping[str, list[Entry]], factors: Mapping[str, Sequence[Any]], exactly: bool) -> Entry:
    """A cell of the variant that has the first value of most factors."""
    entry = min((group[0] for group in groups.values()), key=lambda e: sum(map(bool, _levels(e.assignment, factors))))
    missing = [key for key, values in factors.items() if identity(entry.assignment[key]) != identity(values[0])]
    if exactly and missing:
        wanted = " ".join(f"{key}={text(values[0])}" for key, values in factors.items())
        raise InputError(f"--baseline: there is no variant {wanted}. The nearest has another value of {', '.join(missing)}.")
    return entry


def _label(assignment: Assignment, baseline: Assignment) -> str:
    """By what a variant differs from the baseline."""
    apart = [f"{k}={text(v)}" for k, v in assignment.items() if identity(v) != identity(baseline[k])]
    return " ".join(apart) or "baseline"


def text(value: Any) -> str:
    """A value as it is typed."""
    return value if isinstance(value, str) else identity(value)


def _named(factors: Mapping[str, Sequence[Any]], key: str, typed: str) -> Any:
    if not factors.get(key):
        known = ", ".join(factors) or "none"
        raise InputError(f"--baseline {key}={typed}: {key} is not a choice that varies here. Those that do: {known}.")
    for value in factors[key]:
        if text(value) == typed or identity(value) == identity(yaml.safe_load(typed)):
            return value
    values = ", ".join(text(value) for value in factors[key])
    raise InputError(f"--baseline {key}={typed}: no run has this value. They have {values}.")


def _move_first(values: list[Any], value: Any) -> None:
    i = [identity(v) for v in values].index(identity(value))
    values.insert(0, values.pop(i))


def _defaults(keys: Iterable[str]) -> dict[str, Any]:
    from ablate.study.composition import axes, composed

    cfg = composed([])
    options, values = axes(cfg), OmegaConf.to_container(cfg)
    assert isinstance(values, dict)
    return {key: options[key] if key in options else at(values, key) for key in keys}
