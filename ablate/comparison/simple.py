"""Simple effects: what a choice does where another has a certain value, all further ones as in the baseline."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant, levels
from ablate.comparison.verdicts import between
from ablate.configuration.values import identity
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import Test
from ablate.statistics.paired import Difference, holm


@dataclass(frozen=True)
class Simple:
    """One changed value of one choice, between two variants that differ in nothing else.

    where    the other choices that are not as in the baseline: name to value; the one that is looked at, in any case
    theirs   the variant without the change
    p_holm   corrected for all tests of the report, and for those of simple effects that are told besides
    """

    factor: str
    value: Any
    was: Any
    where: Mapping[str, Any]
    ours: Variant
    theirs: Variant
    difference: Difference | None
    test: Test
    p_holm: float | None
    verdict: str

    @property
    def is_certain(self) -> bool:
        return self.verdict in ("better", "worse", "diverged", "lost")


def strongest_interaction(comparison: Comparison) -> Effect | None:
    """The largest certain interaction of two choices that is at least half of either's main effect; None without one.

    A main effect that cannot be averaged counts as none: then only simple effects say anything.
    """
    mains = {
        (effect.factors[0], identity(effect.values[0])): abs(effect.difference.mean or 0.0)
        for effect in comparison.effects
        if len(effect.factors) == 1
    }
    found = []
    for effect in comparison.effects:
        if len(effect.factors) == 2 and effect.is_certain:
            size = abs(effect.difference.mean or 0.0)
            alone = [mains.get((f, identity(v)), 0.0) for f, v in zip(effect.factors, effect.values, strict=True)]
            if size >= min(alone) / 2:
                found.append((size, effect))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def simple_effects(comparison: Comparison, interaction: Effect, factor: str) -> list[Simple]:
    """What `factor`, one of an interaction's two, does at the other's two values; what was not run is left out."""
    (value,) = (v for f, v in zip(interaction.factors, interaction.values, strict=True) if f == factor)
    other, changed = next((f, v) for f, v in zip(interaction.factors, interaction.values, strict=True) if f != factor)
    wanted = [(factor, value, {other: at}) for at in (comparison.factors[other][0], changed)]
    return _corrected(comparison, [pair for one in wanted for pair in _pair(comparison, *one)])


def alone(comparison: Comparison, factor: str, value: Any) -> Simple | None:
    """What a changed value does where all other choices are as in the baseline."""
    return next(iter(_corrected(comparison, list(_pair(comparison, factor, value, {})))), None)


def _pair(
    comparison: Comparison, factor: str, value: Any, where: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Mapping[str, Any], Variant, Variant]]:
    before = comparison.baseline.assignment | dict(where)
    theirs, ours = (
        comparison.by_levels.get(levels(choices, comparison.factors)) for choices in (before, before | {factor: value})
    )
    if ours and theirs:
        yield factor, value, where, ours, theirs


def _corrected(
    comparison: Comparison, wanted: list[tuple[str, Any, Mapping[str, Any], Variant, Variant]]
) -> list[Simple]:
    """Judged. Those against the baseline are rows of the table, whose verdict they have."""
    found = []
    for factor, value, where, ours, theirs in wanted:
        if theirs.is_baseline and ours.test:
            difference, test = ours.difference, ours.test
        else:
            difference, test = between(comparison, ours, theirs)
        found.append((factor, value, where, ours, theirs, difference, test))
    rows = [variant.test.p if variant.test else None for variant in comparison.variants]
    family = [*rows, *(effect.test.p for effect in comparison.effects)]
    besides = [None if theirs.is_baseline else test.p for *_, theirs, _, test in found]
    corrected = holm([*family, *besides])[len(family) :]
    simple = []
    for (factor, value, where, ours, theirs, difference, test), p in zip(found, corrected, strict=True):
        p_holm = ours.p_holm if theirs.is_baseline else p
        verdict = ours.verdict if theirs.is_baseline else test.verdict(p)
        was = comparison.factors[factor][0]
        simple.append(Simple(factor, value, was, where, ours, theirs, difference, test, p_holm, verdict))
    return simple


def act_together(comparison: Comparison) -> list[tuple[str, ...]]:
    """The pairs of choices with a certain interaction, the largest first."""
    certain = [effect for effect in comparison.effects if len(effect.factors) == 2 and effect.is_certain]
    certain.sort(key=lambda effect: -abs(effect.difference.mean or 0.0))
    return list(dict.fromkeys(effect.factors for effect in certain))
