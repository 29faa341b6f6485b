"""Comparisons of runs that do not pair: Welch's t, which assumes neither equal spread nor equal numbers.

Welch 1947, "The generalization of 'Student's' problem when several different population variances are involved",
Biometrika 34, 28-35; for more than two groups with Satterthwaite 1946, Biometrics Bulletin 2, 110-114.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from scipy import optimize, stats

from ablate.statistics.effects import Design, Effect, LeftOut, contexts_of, left_out, listed
from ablate.statistics.exact import rank_sum_p
from ablate.statistics.gaps import Levels
from ablate.statistics.judgement import Outcome, Test, assessed
from ablate.statistics.paired import LEVEL, POWER, Difference, Estimate
from ablate.statistics.screens import aliases


@dataclass(frozen=True)
class Welch(Difference):
    """A weighted sum of groups' means, such as one group's less another's; `n` is the smallest group's number.

    groups   the values of each, none of them empty
    weights  of their means

    There are no values one by one, and no signs to flip.
    """

    values: tuple[float, ...] = field(default=(), init=False)
    groups: tuple[tuple[float, ...], ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def n(self) -> int:
        return min(map(len, self.groups))

    @property
    def mean(self) -> float | None:
        return math.fsum(weight * math.fsum(group) / len(group) for weight, group in self._weighted)

    @property
    def _weighted(self) -> list[tuple[float, tuple[float, ...]]]:
        return list(zip(self.weights, self.groups, strict=True))

    @cached_property
    def _parts(self) -> list[tuple[float, int]]:
        """Of each group what it adds to the variance of the mean, and its degrees of freedom."""
        return [
            ((weight * (Estimate(group).deviation or 0.0)) ** 2 / len(group), len(group) - 1)
            for weight, group in self._weighted
        ]

    @cached_property
    def deviation(self) -> float | None:
        """That of so many pairs as the smallest group has values, whose mean would have this standard error."""
        return math.sqrt(sum(part for part, _ in self._parts) * self.n) if self.n > 1 else None

    @cached_property
    def df(self) -> float:  # type: ignore[override]  # a fraction
        total = sum(part for part, _ in self._parts)
        return total**2 / sum(part**2 / freedom for part, freedom in self._parts if freedom)

    @cached_property
    def p_sign_flip(self) -> float | None:
        return None

    def detectable(self, level: float = LEVEL) -> float | None:
        """The true difference that so many runs of this spread find with 80% probability, testing at `level`."""
        if not self.deviation:
            return None
        bound = float(stats.t.isf(level / 2, self.df))
        high = bound + 1.0
        while stats.nct.sf(bound, self.df, high) < POWER:
            high *= 2
        found = optimize.brentq(lambda shift: float(stats.nct.sf(bound, self.df, shift)) - POWER, 0.0, high)
        return float(found) * self.deviation / math.sqrt(self.n)


def apart(ours: Sequence[float], theirs: Sequence[float]) -> Welch | None:
    """The mean of one side less that of the other; None where a side has no value."""
    return Welch(groups=(tuple(ours), tuple(theirs)), weights=(1.0, -1.0)) if ours and theirs else None


def judged(
    difference: Welch | None, ours: Sequence[float], theirs: Sequence[float], *, sign: int, low: tuple[int, int]
) -> Test:
    """As `judgement.assessed`, of runs that do not pair. Where no side has any spread, ranks decide."""
    n = (len(ours), len(theirs))
    if -math.inf in (*ours, *theirs) or any(low):
        return assessed(None, ours, theirs, sign=sign, low=low)
    found = _by_t(difference, sign, n)
    return replace(found, p=rank_sum_p(ours, theirs)) if found.outcome is Outcome.ALIKE else found


def _by_t(difference: Welch | None, sign: int, n: tuple[int, int]) -> Test:
    if difference is None or difference.n < 2:
        return Test(Outcome.FEW, None, 0, n, is_paired=False)
    way = sign * (difference.mean or 0.0)
    direction = int(way > 0) - int(way < 0)
    outcome = Outcome.NORMAL if difference.p is not None else Outcome.ALIKE
    return Test(outcome, difference.p, direction, n, is_paired=False)


def effects(design: Design) -> list[Effect]:
    """As `effects.effects`, from the means of the combinations: main effects, then interactions; of a screen main
    effects alone.

    Combinations that lost runs, or whose runs fall into two groups, are left out of the averages.
    """
    return listed(design, _effect, _screened)


def _effect(design: Design, changed: dict[int, int]) -> Effect | None:
    contexts = [signs for signs in contexts_of(design.cells, changed) if all(cell in design.cells for cell in signs)]
    usable = [signs for signs in contexts if all(_is_whole(design, cell) for cell in signs)]
    if not usable:
        return None
    terms = [(cell, sign / len(usable)) for signs in usable for cell, sign in signs.items()]
    missing = tuple(left_out(design, signs, changed) for signs in contexts if signs not in usable)
    return _of(design, changed, terms, len(usable), missing)


def _screened(design: Design) -> list[Effect]:
    """The mean of the half of the combinations with a choice less that of the others; nothing where one lost runs."""
    if not all(_is_whole(design, cell) for cell in design.cells):
        return []
    half = len(design.cells) // 2
    return [
        replace(
            _of(design, {i: 1}, [(cell, (1 if cell[i] else -1) / half) for cell in design.cells], half, ()),
            aliases=tuple(((names[alias.pair[0]], names[alias.pair[1]]), alias.weight) for alias in mixed),
        )
        for names in [list(design.factors)]
        for i, mixed in enumerate(aliases(design.cells))
    ]


def _is_whole(design: Design, cell: Levels) -> bool:
    return bool(design.cells[cell]) and not design.lost.get(cell) and not design.low.get(cell)


def _of(
    design: Design,
    changed: dict[int, int],
    terms: Sequence[tuple[Levels, float]],
    contexts: int,
    missing: tuple[LeftOut, ...],
) -> Effect:
    """The effect whose terms are cells and the weights of their means."""
    groups = tuple(tuple(design.cells[cell].values()) for cell, _ in terms)
    difference = Welch(groups=groups, weights=tuple(weight for _, weight in terms))
    names = [list(design.factors)[i] for i in changed]
    return Effect(
        factors=tuple(names),
        values=tuple(design.factors[name][level] for name, level in zip(names, changed.values(), strict=True)),
        baseline=tuple(design.factors[name][0] for name in names),
        difference=difference,
        seeds=(),
        contexts=contexts,
        left_out=missing,
        missing=0,
        test=_by_t(difference, design.sign, (difference.n, difference.n)),
    )
