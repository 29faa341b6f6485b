"""Simulated sweeps whose truth is known: how often the project's own verdicts are right.

Every sweep has a baseline and further designs, paired by seed: a seed moves all designs alike, by as much as a run's
own noise does. Results are accuracies about 0.8 with noise of 0.01; chance is 0.1, which the verdicts are not told.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.comparison.comparison import Comparison, compare
from ablate.comparison.values import entry
from ablate.statistics.paired import LEVEL, detectable_effect

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int, int]], Floats]

METRIC = "test/acc"
GOOD, CHANCE, NOISE = 0.8, 0.1, 0.01
SEEDS = (3, 5, 8)
LOST = -1.0  # a run that diverged
# Designs besides the baseline, and the choices that make them: one of 2, 4 or 8 values, or three of two, crossed.
DESIGNS: dict[str, tuple[int, ...]] = {"1": (2,), "3": (4,), "7": (8,), "7, crossed": (2, 2, 2)}
DESIGNS_OF_EQUAL, DESIGNS_WHERE_ONE_DIFFERS = ("3", "7", "7, crossed"), ("1", "7")


def _normal(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return GOOD + NOISE * random.normal(size=shape)


def _collapsing(share: float) -> Draw:
    def draw(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        return np.where(random.random(shape) < share, CHANCE, GOOD) + NOISE * random.normal(size=shape)

    return draw


def _unequal(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """From 1 times the spread in the baseline to 5 times in the last design."""
    return GOOD + NOISE * np.linspace(1, 5, shape[1])[:, None] * random.normal(size=shape)


# All designs are equal, but for the spread where it is unequal: whatever is found is false.
EQUAL: dict[str, Draw] = {
    "normal": _normal,
    "half of the seeds at chance": _collapsing(0.5),
    "a tenth of the seeds at chance": _collapsing(0.1),
    "heavy tails, t(2)": lambda random, shape: GOOD + NOISE * random.standard_t(2, shape),
    "unequal spread, 1 to 5": _unequal,
    "skewed, exponential": lambda random, shape: GOOD + NOISE * (random.exponential(size=shape) - 1),
}


def _worst_diverge(random: np.random.Generator, values: Floats) -> None:
    values[:, -1][values[:, -1] < GOOD] = LOST


def _rare_collapse(random: np.random.Generator, values: Floats) -> None:
    """A tenth of the last design's seeds are at chance; the others gain so much that the means are equal."""
    at_chance = random.random(values[:, -1].shape) < 0.1
    values[:, -1] += np.where(at_chance, -0.9, 0.1) * (GOOD - CHANCE)


def _skewed(random: np.random.Generator, values: Floats) -> None:
    values[:, -1] = GOOD + 3 * NOISE * (1 - random.exponential(size=values[:, -1].shape))


def _half_fails(random: np.random.Generator, values: Floats) -> None:
    values[:, -1][random.random(values[:, -1].shape) < 0.5] = CHANCE


def _better(random: np.random.Generator, values: Floats) -> None:
    """By what a t-test of so many designs finds in 80 of 100 sweeps."""
    designs, seeds = values.shape[1:]
    values[:, -1] += NOISE * np.sqrt(2) * detectable_effect(seeds, LEVEL / (designs - 1))


# Normal noise; the last design differs in one way.
ONE_DIFFERS: dict[str, Callable[[np.random.Generator, Floats], None]] = {
    "better by what t finds in 80%": _better,
    "half of its seeds at chance": _half_fails,
    "its worst half diverges": _worst_diverge,
    "rarely at chance, means equal": _rare_collapse,
    "skewed, means equal": _skewed,
}


@dataclass(frozen=True)
class Row:
    """What came of one kind of sweep.

    found      the share of sweeps in which anything is called better or worse
    better     of the last design being called better; worse likewise
    covered    of the intervals that are shown, those with the true mean difference inside: all designs', or the last's
               where only that one differs
    withheld   the share of these comparisons whose interval is not shown, with the reason said
    """

    noise: str
    designs: str
    seeds: int
    sweeps: int
    found: float
    better: float
    worse: float
    covered: float | None
    withheld: float


def simulate(sweeps: int, noises: Iterable[str] = (*EQUAL, *ONE_DIFFERS)) -> Iterator[Row]:
    """A row for every kind of noise, number of designs and number of seeds, one after another; the same every time."""
    for noise in noises:
        for designs in DESIGNS_OF_EQUAL if noise in EQUAL else DESIGNS_WHERE_ONE_DIFFERS:
            for seeds in SEEDS:
                yield _row(noise, designs, seeds, sweeps)


def _row(noise: str, designs: str, seeds: int, sweeps: int) -> Row:
    shape = (sweeps, int(np.prod(DESIGNS[designs])), seeds)
    random = np.random.default_rng([20210301, *noise.encode(), shape[1], seeds])
    values = EQUAL.get(noise, _normal)(random, shape)
    if noise in ONE_DIFFERS:
        ONE_DIFFERS[noise](random, values)
    truth = np.zeros(shape[1])
    if noise == "better by what t finds in 80%":
        truth[-1] = NOISE * np.sqrt(2) * detectable_effect(seeds, LEVEL / (shape[1] - 1))
    elif noise == "half of its seeds at chance":
        truth[-1] = (CHANCE - GOOD) / 2
    values = np.where(values == LOST, LOST, values + NOISE * random.normal(size=(sweeps, 1, seeds)))
    found, last, covered, withheld = 0, {"better": 0, "worse": 0}, [], 0
    first = 1 if noise in EQUAL else shape[1] - 1
    for sweep in values:
        comparison = compared(sweep, DESIGNS[designs])
        verdicts = [variant.verdict for variant in comparison.variants]
        found += any(v in last for v in verdicts) or any(effect.is_certain for effect in comparison.effects)
        if verdicts[-1] in last:
            last[verdicts[-1]] += 1
        for variant, true in zip(comparison.variants[first:], truth[first:], strict=True):
            interval = variant.difference.interval if variant.difference else None
            if interval and variant.test and variant.test.has_interval:
                covered.append(interval[0] <= true <= interval[1])
            else:
                withheld += 1
    return Row(
        noise=noise,
        designs=designs,
        seeds=seeds,
        sweeps=sweeps,
        found=found / sweeps,
        better=last["better"] / sweeps,
        worse=last["worse"] / sweeps,
        covered=float(np.mean(covered)) if covered else None,
        withheld=withheld / (sweeps * (shape[1] - first)),
    )


def compared(sweep: Floats, values: tuple[int, ...]) -> Comparison:
    """The comparison of one sweep's results, designs x seeds, whose choices have so many values."""
    factors: dict[str, list[Any]] = {f"choice {i}": list(range(n)) for i, n in enumerate(values)}
    entries = [
        entry(
            assignment,
            seed,
            METRIC,
            None if value == LOST else float(value),
            "diverged" if value == LOST else "finished",
        )
        for levels, results in zip(np.ndindex(*values), sweep, strict=True)
        for assignment in [dict(zip(factors, levels, strict=True))]
        for seed, value in enumerate(results)
    ]
    return compare(entries, factors, source="", metric=METRIC, why_baseline="", goal="maximize")
