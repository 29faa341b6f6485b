"""A search that keeps whatever looks better: candidates that all do nothing, judged one after the other against one
baseline, by the rules of `ablate judge` and by two that are usual."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ablate.comparison.simulation.arrays import Floats, played
from ablate.statistics.ledger import next_level
from ablate.statistics.rounds import BETTER, WORSE, Rules
from ablate.statistics.sequential import Looks

CANDIDATES = 300
LEDGER, HIGHER, SIGMAS = "ablate judge", "higher mean", "two sigma"


@dataclass(frozen=True)
class Kept:
    """What a rule keeps of candidates that do nothing.

    any   the share of searches in which it keeps one or more
    mean  how many it keeps in a search
    runs  of a candidate, the baseline's left out
    """

    rule: str
    searches: int
    any: float
    mean: float
    runs: float


def search(looks: Looks, searches: int, candidates: int = CANDIDATES) -> list[Kept]:
    """Normal noise; all candidates of a search share the baseline's seeds. The usual rules have as many seeds as the
    last look: `two sigma` keeps a mean difference above two standard errors."""
    random = np.random.default_rng(20210303)
    last = looks.seeds[-1]
    baseline = random.normal(size=(searches, last))
    judged: list[list[tuple[float, bool]]] = [[] for _ in range(searches)]
    kept = {rule: np.zeros(searches, dtype=int) for rule in (LEDGER, HIGHER, SIGMAS)}
    runs = 0
    for _ in range(candidates):
        values = np.stack([baseline, random.normal(size=baseline.shape)], axis=1)
        better, called, used = _judged(values, np.array([next_level(before) for before in judged]), looks)
        runs += int(used.sum())
        for before, is_called in zip(judged, called, strict=True):
            before.append((next_level(before), bool(is_called)))
        test = stats.ttest_1samp(values[:, 1] - values[:, 0], 0, axis=1)
        kept[LEDGER] += better
        kept[HIGHER] += test.statistic > 0
        kept[SIGMAS] += test.statistic > 2
    per_candidate = {LEDGER: runs / searches / candidates}
    return [
        Kept(rule, searches, float((count > 0).mean()), float(count.mean()), per_candidate.get(rule, float(last)))
        for rule, count in kept.items()
    ]


def _judged(values: Floats, levels: Floats, looks: Looks) -> tuple[Floats, Floats, Floats]:
    """Of each search whether its candidate is called better, whether better or worse, and how many runs it took."""
    better, called, runs = (np.zeros(len(values), dtype=int) for _ in range(3))
    for level in np.unique(levels):
        these = levels == level
        ended = played(values[these], Rules(looks, 1, None, float(level)))
        better[these], called[these] = ended.are(BETTER)[:, 0], ended.are(BETTER, WORSE)[:, 0]
        runs[these] = np.array(looks.seeds)[ended.look[:, 0]]
    return better, called, runs
