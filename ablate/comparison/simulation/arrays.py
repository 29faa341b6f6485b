"""The rules of seeds in rounds (`ablate.statistics.rounds`), for many simulated sweeps at once.

The same decisions, made by arrays: a hundred thousand sweeps take a minute instead of an hour. A test holds these
decisions against the rules themselves, sweep by sweep.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablate.statistics.exact import rank_sum_p
from ablate.statistics.judgement import EQUIVALENT, UNDECIDED
from ablate.statistics.paired import LEVEL
from ablate.statistics.rounds import BETTER, GIVEN_UP, HOPELESS, WORSE, Rules
from ablate.statistics.sequential import Looks, chance_to_decide
from ablate.statistics.splits import FEW, GAP, GAP_OF_FEW, REACH, RESOLUTION, chance_limit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Truths = NDArray[np.bool_]

OUTCOMES = (BETTER, WORSE, EQUIVALENT, UNDECIDED, GIVEN_UP)
_CLEAR = 0.003  # so far from HOPELESS at both neighbours on the grid, the chance between them is on their side
_FEW = 300  # variants, below which it takes less to ask for each than to make a grid


@dataclass(frozen=True)
class Played:
    """What became of the sweeps, each array sweeps x variants.

    outcome    the position in OUTCOMES
    look       at which it was decided
    low, high  the interval that is shown; not a number where none is
    """

    looks: Looks
    outcome: Whole
    look: Whole
    low: Floats
    high: Floats

    def are(self, *outcomes: str) -> Truths:
        """Which variants ended as one of these."""
        return np.isin(self.outcome, [OUTCOMES.index(outcome) for outcome in outcomes])

    @property
    def runs(self) -> Whole:
        """How many runs each sweep took: the baseline goes on as long as any variant."""
        seeds = np.array(self.looks.seeds)[self.look]
        return np.asarray(seeds.sum(axis=1) + seeds.max(axis=1))


def played(values: Floats, rules: Rules, chance: float | None = None) -> Played:
    """Decide sweeps by the rules.

    values  sweeps x designs x seeds, the baseline first; larger is better. Every run has finished, and no variant
            differs from the baseline by exactly the same in all seeds
    chance  the accuracy of guessing, where the values are accuracies
    """
    shape = values.shape[0], values.shape[1] - 1
    outcome, when = np.full(shape, -1), np.full(shape, -1)
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    for look, n in enumerate(rules.looks.seeds):
        running = outcome < 0
        some = np.flatnonzero(running.any(axis=1))
        if not some.size:
            break
        already = np.isin(outcome[some], [0, 1]).sum(axis=1)
        seen = _Look(values[some, :, :n], running[some], rules, look, chance)
        found = seen.outcomes(already)
        ended = found >= 0
        half = rules.looks.half_width(look, 1.0) * seen.deviation
        shown = ended & seen.has_interval
        for array, new in ((outcome, found), (when, np.full_like(found, look))):
            array[some] = np.where(ended, new, array[some])
        low[some] = np.where(shown, seen.mean - half, low[some])
        high[some] = np.where(shown, seen.mean + half, high[some])
    return Played(rules.looks, outcome, when, low, high)


class _Look:
    """One look at sweeps whose variants go on where `running` says so."""

    def __init__(self, values: Floats, running: Truths, rules: Rules, look: int, chance: float | None) -> None:
        self.rules, self.look, self.running = rules, look, running
        n = values.shape[2]
        baseline, variants = values[:, :1], values[:, 1:]
        differences = variants - baseline
        self.mean, self.deviation = differences.mean(axis=2), differences.std(axis=2, ddof=1)
        assert np.isfinite(values).all() and (self.deviation > 0).all()
        takes_part = np.column_stack([np.ones(len(values), dtype=bool), running])
        fallen: Whole = np.asarray(low_seeds(values, takes_part, chance).sum(axis=2))
        ours, theirs = fallen[:, 1:], fallen[:, :1]
        self.normal: Truths = ((ours == 0) & (theirs == 0)) | ((ours == n) & (theirs == n))
        limit = -np.inf if chance is None else chance_limit(chance)
        at_chance: Truths = np.asarray((values <= limit).all(axis=2))
        self.has_interval: Truths = self.normal & (at_chance[:, 1:] == at_chance[:, :1])
        p = 2 * stats.t.sf(np.abs(self.mean) / self.deviation * np.sqrt(n), n - 1)
        wins = (variants[:, :, :, None] > baseline[:, :, None, :]).sum(axis=(2, 3))
        self.p: Floats = np.where(self.normal, p, _rank_sum_p(n)[wins])
        self.direction: Floats = np.where(self.normal, np.sign(self.mean), np.sign(2 * wins - n * n))
        # Nobody calls better who has more low seeds.
        self.may_be: Truths = self.normal | ((ours - theirs) * self.direction <= 0)

    def outcomes(self, already: Whole) -> Whole:
        """Of each variant the position in OUTCOMES; -1 where it goes on, or has stopped before."""
        rules, look = self.rules, self.look
        called = self._called(already)
        left = np.maximum(1, rules.family - already - called.sum(axis=1))
        found = np.full(called.shape, -1)
        told = called & self.may_be & (self.direction != 0)
        found[told] = np.where(self.direction[told] > 0, OUTCOMES.index(BETTER), OUTCOMES.index(WORSE))
        going = self.running & ~told
        if rules.margin is not None:
            half = rules.looks.half_width(look, 1.0, rules.level / rules.family) * self.deviation
            alike = going & self.normal & (np.abs(self.mean) + half < rules.margin)
            found[alike] = OUTCOMES.index(EQUIVALENT)
            going = going & ~alike
        if look == len(rules.looks.seeds) - 1:
            found[going] = OUTCOMES.index(UNDECIDED)
            return found
        for number in np.unique(left):
            these = going & self.normal & (left == number)[:, None]
            hopeless = _hopeless(self.mean[these], self.deviation[these], rules, look, rules.level / number)
            found[these] = np.where(hopeless, OUTCOMES.index(GIVEN_UP), -1)
        return found

    def _called(self, already: Whole) -> Truths:
        """Holm's procedure: each that is called leaves its level to the others."""
        rules, look = self.rules, self.look
        called = np.zeros(self.p.shape, dtype=bool)
        while True:
            size = np.maximum(1, rules.family - already - called.sum(axis=1))[:, None]
            bound = np.empty(self.p.shape)
            for number in np.unique(size):
                level = rules.level / number
                by_t, by_ranks = rules.looks.bounds(level)[look], rules.looks.spent(level)[look]
                bound = np.where(size == number, np.where(self.normal, by_t, by_ranks), bound)
            more = self.running & ~called & (self.p <= bound)
            if not more.any():
                return called
            called |= more


def low_seeds(values: Floats, takes_part: Truths, chance: float | None) -> Truths:
    """As `ablate.statistics.splits.low_seeds`, of sweeps x designs x seeds; designs that take no part are left out."""
    designs, n = values.shape[1:]
    ordered = np.sort(values, axis=2)
    gaps = np.diff(ordered, axis=2)
    at = n - 2 - gaps[:, :, ::-1].argmax(axis=2)
    width = gaps.max(axis=2)
    bottom, top = ordered[:, :, 0], np.take_along_axis(ordered, at[:, :, None], axis=2)[:, :, 0]
    lower = np.arange(n) <= at[:, :, None]
    squares = np.zeros(width.shape)
    for group in (lower, ~lower):
        mean = (ordered * group).sum(axis=2) / group.sum(axis=2)
        squares += ((ordered - mean[:, :, None]) ** 2 * group).sum(axis=2)
    deviation = np.sqrt(squares / (n - 2)) if n > 2 else np.full(width.shape, np.inf)
    common = np.nanmedian(np.where(takes_part, deviation, np.nan), axis=1)[:, None]
    least = RESOLUTION * np.abs([bottom, top, top + width]).max(axis=0)
    times = GAP if n >= FEW else GAP_OF_FEW
    split = takes_part & (width > times * np.maximum(np.maximum(deviation, common), least))
    guessed = np.zeros(values.shape, dtype=bool)
    if chance is not None:
        guessed = (values <= chance_limit(chance)) & takes_part[:, :, None]
    partly = guessed.any(axis=2) & ~guessed.all(axis=2)
    reach = REACH * width
    below, above = bottom - reach, top + reach
    # by [sweep, i, j]: whether the top of j's lower group lies in reach of i's
    near = (below[:, :, None] <= top[:, None]) & (top[:, None] <= above[:, :, None]) & split[:, None]
    near &= ~np.eye(designs, dtype=bool)
    places = split & near.any(axis=2)
    if chance is not None:
        places |= split & (top <= chance_limit(chance))
    low = guessed.copy()
    for i in range(designs):
        inside = (below[:, i, None, None] <= values) & (values <= above[:, i, None, None])
        low |= inside & places[:, i, None, None]
    low |= split[:, :, None] & (values <= top[:, :, None])
    any_group = (split | (partly & takes_part)).any(axis=1)
    return np.asarray(low & takes_part[:, :, None] & any_group[:, None, None])


@cache
def _rank_sum_p(n: int) -> Floats:
    """p of the rank sum of n and n seeds without ties, by how many pairs the first group wins."""
    found = np.empty(n * n + 1)
    theirs = [float(2 * n * i) for i in range(n)]
    for wins in range(n * n + 1):
        # Seeds that beat so many of the others, n at most each: all ranks are different.
        full, rest = divmod(wins, n)
        beats = [n] * full + ([rest] if full < n else []) + [0] * (n - full - 1)
        ours = [theirs[b] - n + i if b < n else theirs[-1] + n + i for i, b in enumerate(beats)]
        found[wins] = rank_sum_p(ours, theirs)
    return found


def _hopeless(mean: Floats, deviation: Floats, rules: Rules, look: int, level: float) -> Truths:
    """Of each variant, whether it is given up.

    Without a margin the chance to be decided depends on mean / deviation alone: between two points of a grid where it
    is clearly above HOPELESS, or clearly below, it is taken to be so too. Only the others are asked for one by one.
    """
    if rules.margin is not None or len(mean) < _FEW:
        unclear, hopeless = np.ones(len(mean), dtype=bool), np.zeros(len(mean), dtype=bool)
    else:
        grid, above, below = _grid(rules.looks, look, level)
        cell = np.searchsorted(grid, mean / deviation)
        hopeless, unclear = below[cell], ~(above | below)[cell]
    for i in np.flatnonzero(unclear):
        asked = chance_to_decide(rules.looks, look, float(mean[i]), float(deviation[i]), level, rules.margin)
        hopeless[i] = asked < HOPELESS
    return hopeless


@cache
def _grid(looks: Looks, look: int, level: float) -> tuple[Floats, Truths, Truths]:
    """Ratios; and of the cells between them, and those beyond the ends, whether their chance is clearly above HOPELESS,
    and whether clearly below."""
    grid = np.linspace(-1.5, 1.5, 301)
    chance = np.array([chance_to_decide(looks, look, float(ratio), 1.0, level, None) for ratio in grid])
    above, below = chance > HOPELESS + _CLEAR, chance < HOPELESS - _CLEAR

    def cells(points: Truths) -> Truths:
        return np.concatenate([[False], points[1:] & points[:-1], [False]])

    return grid, cells(above), cells(below)


def fixed(seeds: int, family: int, level: float = LEVEL) -> Rules:
    """One look at so many seeds: what a sweep is without rounds."""
    return Rules(Looks((seeds,)), family, None, level)
