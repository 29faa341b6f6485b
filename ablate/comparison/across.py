"""Designs on several data sets: each compared with the baseline on the same data, never across them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ablate.comparison.comparison import Comparison, compare
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.statistics.paired import holm

AXIS = "data"


@dataclass(frozen=True)
class Across:
    """Designs by data sets.

    data     the data sets, the baseline's first
    designs  by their labels, the baseline first: of each data set its variant there, None where it was not run
    family   how many tests there are on all data sets together, for which p is corrected
    """

    data: tuple[str, ...]
    designs: dict[str, tuple[Variant | None, ...]]
    family: int


def across(comparison: Comparison) -> Across | None:
    """The variants of a comparison by data set; None where there is one data set, or one design."""
    data = comparison.factors.get(AXIS, [])
    factors = {key: values for key, values in comparison.factors.items() if key != AXIS}
    if len(data) < 2 or not factors:
        return None
    apart = [_on(comparison, value, factors) for value in data]
    variants = [variant for variant in chain(*apart) if variant.test]
    corrected = holm([variant.test.p if variant.test else None for variant in variants])
    for variant, p_holm in zip(variants, corrected, strict=True):
        variant.p_holm, variant.p_equivalent = p_holm, None
    labels = dict.fromkeys(variant.label for variant in chain(*apart))
    found = [{variant.label: variant for variant in variants} for variants in apart]
    return Across(
        tuple(map(word, data)),
        {label: tuple(known.get(label) for known in found) for label in labels},
        sum(p is not None for p in corrected),
    )


def _on(comparison: Comparison, data: Any, factors: dict[str, list[Any]]) -> Sequence[Variant]:
    """The variants on one data set, compared there."""
    entries = [
        replace(entry, assignment={key: entry.assignment[key] for key in factors})
        for variant in comparison.variants
        if variant.assignment[AXIS] == data
        for entry in variant.entries
    ]
    if not any(entry.result for entry in entries):
        return []
    return compare(
        entries,
        factors,
        source=comparison.source,
        metric=comparison.metric,
        why_baseline=comparison.why_baseline,
        goal=comparison.goal,
        is_paired=comparison.is_paired,
    ).variants
