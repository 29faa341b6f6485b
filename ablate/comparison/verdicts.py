"""From runs to verdicts: differences, main effects and interactions, tested and corrected together."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.comparison.results import at
from ablate.comparison.variants import Variant
from ablate.statistics import unpaired
from ablate.statistics.effects import Design, effects
from ablate.statistics.equivalence import equivalence_p
from ablate.statistics.judgement import Test, assessed
from ablate.statistics.paired import Difference, holm, outperforming
from ablate.statistics.splits import low_seeds

if TYPE_CHECKING:
    from ablate.comparison.comparison import Comparison


def judge(comparison: "Comparison") -> None:
    """Give variants their differences, tests and corrected p, and the comparison its effects."""
    _mark_low(comparison)
    _against_baseline(comparison)
    _factorial(comparison)
    _correct(comparison)
    if comparison.margin is not None:
        _equivalent(comparison, comparison.margin)


def guessing(variants: Sequence[Variant], metric: str) -> float | None:
    """The accuracy of guessing, where the metric is top-1 accuracy and all runs have the same classes."""
    if metric.rsplit("/", 1)[-1] != "acc":
        return None
    configs = {id(result.config): result.config for variant in variants for result in variant.results}
    classes = {at(config, "data.num_classes") for config in configs.values()}
    (number,) = classes if len(classes) == 1 else (None,)
    return 1 / number if isinstance(number, int) and number > 1 else None


def _mark_low(comparison: "Comparison") -> None:
    larger_is_better = [
        {seed: comparison.sign * value for seed, value in variant.values.items()} for variant in comparison.variants
    ]
    for variant, low in zip(comparison.variants, low_seeds(larger_is_better, comparison.chance), strict=True):
        variant.low = low


def _against_baseline(comparison: "Comparison") -> None:
    baseline, sign = comparison.baseline, comparison.sign
    theirs = _outcomes(baseline, sign)
    for variant in comparison.variants:
        if variant.is_baseline:
            continue
        variant.difference, variant.test = between(comparison, variant, baseline)
        if not comparison.is_paired:
            continue
        variant.paired_seeds = tuple(seed for seed in variant.values if seed in baseline.values)
        ours = _outcomes(variant, sign)
        ended = [seed for seed in ours if seed in theirs]
        variant.outperforming = outperforming([ours[seed] for seed in ended], [theirs[seed] for seed in ended])


def between(comparison: "Comparison", variant: Variant, other: Variant) -> tuple[Difference | None, Test]:
    """The difference of two variants, over the seeds that both have where these pair, and its test."""
    sign = comparison.sign
    ours, theirs = _outcomes(variant, sign), _outcomes(other, sign)
    low = len(variant.low), len(other.low)
    if low == (len(ours), len(theirs)):  # of one kind, if a low one
        low = (0, 0)
    outcomes = [*ours.values()], [*theirs.values()]
    if not comparison.is_paired:
        apart = unpaired.apart([*variant.values.values()], [*other.values.values()])
        return apart, unpaired.judged(apart, *outcomes, sign=sign, low=low)
    common = [seed for seed in variant.values if seed in other.values]
    difference = Difference(tuple(variant.values[seed] - other.values[seed] for seed in common)) if common else None
    return difference, assessed(difference, *outcomes, sign=sign, low=low)


def _outcomes(variant: Variant, sign: int) -> dict[int, float]:
    lost = dict.fromkeys(variant.lost, -math.inf)
    return {seed: sign * value for seed, value in variant.values.items()} | lost


def _factorial(comparison: "Comparison") -> None:
    by_levels = comparison.by_levels
    lost = {where: set(seeds) for where, variant in by_levels.items() if (seeds := variant.lost)}
    low = {where: variant.low for where, variant in by_levels.items() if variant.low}
    design = Design(comparison.factors, comparison.cells, lost, low, comparison.sign)
    comparison.effects = effects(design) if comparison.is_paired else unpaired.effects(design)


def _correct(comparison: "Comparison") -> None:
    """Holm's correction over everything that a report may call found, as one family of tests."""
    variants = [variant for variant in comparison.variants if variant.test]
    p = [*(v.test.p for v in variants if v.test), *(effect.test.p for effect in comparison.effects)]
    corrected = holm(p)
    for variant, p_holm in zip(variants, corrected, strict=False):
        variant.p_holm = p_holm
    comparison.effects = [
        replace(effect, p_holm=p_holm)
        for effect, p_holm in zip(comparison.effects, corrected[len(variants) :], strict=True)
    ]


def _equivalent(comparison: "Comparison", margin: float) -> None:
    """The two one-sided tests of all variants and main effects whose means speak: a family of their own.

    So both hold with 95%: that nothing is called better or worse by chance, and nothing equivalent.
    """
    variants = [variant for variant in comparison.variants if variant.test]
    tests = [*((v.test, v.difference) for v in variants), *((e.test, e.difference) for e in comparison.effects)]
    mains = [True] * len(variants) + [len(effect.factors) == 1 for effect in comparison.effects]
    p = [
        equivalence_p(difference, margin) if test and test.has_interval and difference and is_main else None
        for (test, difference), is_main in zip(tests, mains, strict=True)
    ]
    corrected = holm(p)
    for variant, p_equivalent in zip(variants, corrected, strict=False):
        variant.p_equivalent = p_equivalent
    comparison.effects = [
        replace(effect, p_equivalent=p_equivalent)
        for effect, p_equivalent in zip(comparison.effects, corrected[len(variants) :], strict=True)
    ]
