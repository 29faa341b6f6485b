"""What `sweep --until-decided` promises, tried on simulated sweeps: few false calls, intervals that hold wherever one
stops, and runs saved.

The noise is that of a run (`GOOD` and `NOISE` of `fixed`); what a seed does to all designs alike leaves no trace in
differences. The verdicts are told the accuracy of guessing, as those of real runs are, unless a row says otherwise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ablate.comparison.simulation.arrays import Floats, fixed, played
from ablate.comparison.simulation.fixed import CHANCE, GOOD, NOISE
from ablate.statistics.judgement import EQUIVALENT
from ablate.statistics.paired import LEVEL, detectable_effect
from ablate.statistics.rounds import BETTER, WORSE, Rules
from ablate.statistics.sequential import SPENDING, Looks

DESIGNS = (1, 3, 7)  # besides the baseline
SIGMA = NOISE * np.sqrt(2)  # of a difference, where noise is normal
_CHUNK = 10_000  # sweeps that are decided at once, so that memory stays below 1 GB

Draw = Callable[[np.random.Generator, tuple[int, int, int]], Floats]


def _normal(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return GOOD + NOISE * random.normal(size=shape)


def _heavy(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return GOOD + NOISE * random.standard_t(3, size=shape)


def _half(random: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return np.where(random.random(shape) < 0.5, CHANCE, GOOD) + NOISE * random.normal(size=shape)


# By name how results are drawn, and the accuracy of guessing that the verdicts are told.
NOISES: dict[str, tuple[Draw, float | None]] = {
    "normal": (_normal, CHANCE),
    "heavy tails, t(3)": (_heavy, CHANCE),
    "half of the seeds at chance": (_half, CHANCE),
    "the same, chance not told": (_half, None),
}
# How much better the last design is, in what as many seeds as the last look has find in 80% of sweeps, one look only.
EFFECTS = {"what t finds in 80%": 1.0, "1.5 times that": 1.5, "twice that": 2.0}
EQUAL = "equal"
NEVER = "never at chance, the others half"
MARGIN = 2.0  # in deviations of a difference
MARGINS = {"differs by the margin": MARGIN, "differs by half of it": MARGIN / 2, "does not differ": 0.0}


@dataclass(frozen=True)
class Row:
    """What came of one kind of sweep.

    found     the share of sweeps in which any design is called better or worse that does not differ
    called    of the last design being called what it is: better, or equivalent; None where it does not differ
    covered   of the intervals that are shown, those with the true difference inside; None where none is shown
    withheld  the share of designs whose interval is not shown
    runs      the mean of a sweep
    full      how many runs all seeds of the last look would be
    alone     `called` of one look at all these seeds
    """

    kind: str
    noise: str
    spending: str
    designs: int
    sweeps: int
    found: float
    called: float | None
    covered: float | None
    withheld: float
    runs: float
    full: int
    alone: float | None = None


def without_effect(looks: Looks, sweeps: int) -> Iterator[Row]:
    """All designs are equal: a row for each noise and number of designs."""
    for noise in NOISES:
        for designs in DESIGNS:
            yield _row(EQUAL, noise, designs, looks, sweeps, np.zeros(designs))


def with_effect(looks: Looks, sweeps: int) -> Iterator[Row]:
    """The last design is better: a row for each size of the difference and number of designs; with normal noise for
    each way to spend the level."""
    ways = [("normal", Looks(looks.seeds, spending)) for spending in SPENDING] + [("heavy tails, t(3)", looks)]
    for noise, spent in ways:
        for name, times in EFFECTS.items():
            for designs in DESIGNS:
                truth = np.zeros(designs)
                truth[-1] = times * detectable_effect(looks.seeds[-1], LEVEL / designs) * SIGMA
                yield _row(name, noise, designs, spent, sweeps, truth)
    for designs in DESIGNS:
        truth = np.zeros(designs)
        truth[-1] = (GOOD - CHANCE) / 2
        yield _row(NEVER, "half of the seeds at chance", designs, looks, sweeps, truth)


def with_margin(looks: Looks, sweeps: int) -> Iterator[Row]:
    """Normal noise and a margin; the last design differs by as much as the margin, by less, or not at all."""
    for name, sigmas in MARGINS.items():
        for designs in DESIGNS[:2]:  # each variant's chance is asked for by itself, which takes long
            truth = np.zeros(designs)
            truth[-1] = sigmas * SIGMA
            yield _row(name, "normal", designs, looks, sweeps, truth, margin=MARGIN * SIGMA)


def _row(
    kind: str,
    noise: str,
    designs: int,
    looks: Looks,
    sweeps: int,
    truth: Floats,
    margin: float | None = None,
) -> Row:
    draw, chance = NOISES[noise]
    random = np.random.default_rng([20210302, *f"{kind} {noise}".encode(), designs])
    rules, last = Rules(looks, designs, margin), looks.seeds[-1]
    found = called = covered = shown = runs = at_once = 0
    is_of_effect = kind != EQUAL and margin is None
    for begin in range(0, sweeps, _CHUNK):
        shape = min(_CHUNK, sweeps - begin), designs + 1, last
        values = draw(random, shape)
        if kind == NEVER:
            values[:, -1] = _normal(random, (shape[0], 1, last))[:, 0]
        else:
            values[:, 1:] += truth[:, None]
        ended = played(values, rules, chance)
        found += int((ended.are(BETTER, WORSE) & (truth == 0)).any(axis=1).sum())
        called += int(ended.are(EQUIVALENT if margin is not None else BETTER)[:, -1].sum())
        inside = (ended.low <= truth) & (truth <= ended.high)
        covered, shown = covered + int(inside.sum()), shown + int((~np.isnan(ended.low)).sum())
        runs += int(ended.runs.sum())
        if is_of_effect:
            at_once += int(played(values, fixed(last, designs), chance).are(BETTER)[:, -1].sum())
    return Row(
        kind=kind,
        noise=noise,
        spending=looks.spending,
        designs=designs,
        sweeps=sweeps,
        found=found / sweeps,
        called=None if kind == EQUAL else called / sweeps,
        covered=covered / shown if shown else None,
        withheld=1 - shown / (sweeps * designs),
        runs=runs / sweeps,
        full=(designs + 1) * last,
        alone=at_once / sweeps if is_of_effect else None,
    )


def expected_runs(looks: Looks, designs: int, differ: bool, sweeps: int = 200) -> float:
    """The mean number of runs of sweeps with normal noise and no margin: of designs that are all equal, or that all
    differ from the baseline by twice what as many seeds as the last look has find in 80% of sweeps."""
    random = np.random.default_rng(designs)
    values = random.normal(size=(sweeps, designs + 1, looks.seeds[-1])) / np.sqrt(2)
    if differ:
        values[:, 1:] += 2 * detectable_effect(looks.seeds[-1], LEVEL / designs)
    return float(played(values, Rules(looks, designs)).runs.mean())
