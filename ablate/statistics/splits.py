"""Finds variants whose seeds fall into two groups, such as seeds that learn and seeds that stay at chance.

For such a variant the mean and Student's interval are meaningless: no seed is near the mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Seeds form two groups if the largest gap between sorted results is this many times the spread within the groups.
# Normal noise has such a gap in 5% of sweeps with three seeds, 1% with four, 0.1% or less with eight or more.
GAP_OF_FEW, GAP = 20.0, 10.0
FEW = 5  # with fewer seeds the spread is poorly known, so GAP_OF_FEW is required
REACH = 0.25  # of the gap: how far from the lower group a seed of another variant still belongs to it
RESOLUTION = 1e-3  # of the values: the smallest spread to assume, so that exactly equal seeds prove nothing


@dataclass(frozen=True)
class _Gap:
    """The largest gap between sorted values.

    bottom, top  the smallest and the largest value below the gap
    width        of the gap
    deviation    the standard deviation within the two groups; None for two values
    """

    bottom: float
    top: float
    width: float
    deviation: float | None

    def reaches(self, value: float) -> bool:
        return self.bottom - REACH * self.width <= value <= self.top + REACH * self.width


def is_at_chance(accuracy: float, chance: float) -> bool:
    """Whether an accuracy is that of guessing."""
    return accuracy <= chance_limit(chance)


def chance_limit(chance: float) -> float:
    """The highest accuracy that counts as guessing: above `chance` by at most half of it, and by at most 5% of 1 -
    chance."""
    return chance + min(0.5 * chance, 0.05 * (1 - chance))


def low_seeds(variants: Sequence[Mapping[int, float]], chance: float | None = None) -> list[set[int]]:
    """For each variant, the seeds that ended in the lower of two groups; empty sets if no variant has two groups.

    variants  results by seed, larger is better
    chance    the accuracy of guessing; None if the results are not accuracies

    A variant has two groups if some of its seeds are at chance and others are not, or if the largest gap between its
    sorted results is GAP times the spread within the groups. The spread is the variant's own, or the median of all
    variants' if that is larger. If a lower group is at chance, or two variants have lower groups at the same place,
    then seeds of other variants that ended there count as low too.
    """
    gaps = [_largest_gap(list(values.values())) for values in variants]
    spreads = [gap.deviation for gap in gaps if gap and gap.deviation is not None]
    common = float(np.median(spreads)) if spreads else math.inf
    split = [
        gap if gap and _splits(gap, len(values), common) else None for gap, values in zip(gaps, variants, strict=True)
    ]
    found = [gap for gap in split if gap]
    guessed = [
        {s for s, value in values.items() if chance is not None and is_at_chance(value, chance)} for values in variants
    ]
    if not found and not any(0 < len(seeds) < len(values) for seeds, values in zip(guessed, variants, strict=True)):
        return [set() for _ in variants]
    # A single variant's outlier says nothing about the others.
    places = [gap for gap in found if _is_at(gap, chance) or any(gap.reaches(g.top) for g in found if g is not gap)]
    return [
        seeds | {seed for seed, value in values.items() if any(g.reaches(value) for g in places) or _below(own, value)}
        for seeds, values, own in zip(guessed, variants, split, strict=True)
    ]


def _is_at(gap: _Gap, chance: float | None) -> bool:
    return chance is not None and is_at_chance(gap.top, chance)


def _below(gap: _Gap | None, value: float) -> bool:
    return gap is not None and value <= gap.top


def _splits(gap: _Gap, seeds: int, common: float) -> bool:
    if gap.deviation is None:
        return False
    least = RESOLUTION * max(abs(gap.bottom), abs(gap.top), abs(gap.top + gap.width))
    return gap.width > (GAP if seeds >= FEW else GAP_OF_FEW) * max(gap.deviation, common, least)


def _largest_gap(values: list[float]) -> _Gap | None:
    if len(values) < 2:
        return None
    ordered = sorted(values)
    width, i = max((ordered[i + 1] - ordered[i], i) for i in range(len(ordered) - 1))
    deviation = None
    if len(ordered) > 2:
        squares = 0.0
        for group in (ordered[: i + 1], ordered[i + 1 :]):
            mean = sum(group) / len(group)
            squares += sum((value - mean) ** 2 for value in group)
        deviation = math.sqrt(squares / (len(ordered) - 2))
    return _Gap(ordered[0], ordered[i], width, deviation)
