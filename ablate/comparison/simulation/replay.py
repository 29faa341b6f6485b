"""Stored comparisons, their seeds in other orders: what rounds would have taken, and what they would have called."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.comparison.comparison import Comparison
from ablate.comparison.values import again
from ablate.statistics.rounds import BETTER, DIVERGED, WORSE, Decision, Rules, standing
from ablate.statistics.sequential import Looks

CALLED = (BETTER, WORSE, DIVERGED)


@dataclass(frozen=True)
class Replayed:
    """Of one comparison, over the orders.

    runs       the mean number; full: with all seeds
    called     how many variants one look at all seeds calls
    kept       the mean number of these that the rounds call the same
    otherwise  the mean number that they call otherwise, or that all seeds do not call
    """

    name: str
    variants: int
    seeds: int
    orders: int
    runs: float
    full: int
    called: int
    kept: float
    otherwise: float


def replay(name: str, known: dict[str, Any], looks: Looks, orders: int) -> Replayed | None:
    """Replay a comparison.json; None where it has fewer seeds than the last look."""
    comparison = again(known)
    values = _values(comparison)
    baseline, *variants = values
    last = looks.seeds[-1]
    if len(baseline) < last:
        return None
    random = np.random.default_rng(20210304)
    runs = kept = otherwise = 0
    truth = _decisions(values, range(last), Looks((last,)), comparison.chance)
    for _ in range(orders):
        order = random.permutation(last)
        found = _decisions(values, order, looks, comparison.chance)
        used = [looks.seeds[decision.look] for decision in found]
        runs += sum(used) + max(used)
        for then, now in zip(truth, found, strict=True):
            kept += then.outcome in CALLED and now.outcome == then.outcome
            otherwise += now.outcome in CALLED and now.outcome != then.outcome
    return Replayed(
        name=name,
        variants=len(variants),
        seeds=last,
        orders=orders,
        runs=runs / orders,
        full=len(values) * last,
        called=sum(decision.outcome in CALLED for decision in truth),
        kept=kept / orders,
        otherwise=otherwise / orders,
    )


def _values(comparison: Comparison) -> list[list[float]]:
    """Of the baseline and each variant, by the seeds that all have ended; larger is better, -inf is a lost run."""
    ended = [
        {seed: comparison.sign * value for seed, value in variant.values.items()}
        | dict.fromkeys(variant.lost, -math.inf)
        for variant in (comparison.baseline, *(v for v in comparison.variants if not v.is_baseline))
    ]
    common = [seed for seed in ended[0] if all(seed in other for other in ended)]
    return [[values[seed] for seed in sorted(common)] for values in ended]


def _decisions(values: list[list[float]], order: Any, looks: Looks, chance: float | None) -> list[Decision]:
    baseline, *variants = [[own[i] for i in order] for own in values]
    named = {str(i): own for i, own in enumerate(variants)}
    decisions = standing(baseline, named, Rules(looks, len(variants)), chance).decisions
    return [decisions[name] for name in named]
