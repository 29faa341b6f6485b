"""Main effects and interactions: what each choice changes on average, and how two choices act together.

A contrast is computed for each seed separately, so effects are paired by seed, as variants are.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from ablate.statistics.gaps import CellMeans, Levels
from ablate.statistics.judgement import Test, assessed, paired
from ablate.statistics.paired import LEVEL, Difference
from ablate.statistics.screens import aliases, contrasts, is_screen

# Levels are, for each factor, the position of its value; 0 is the baseline's.
Cells = Mapping[Levels, Mapping[int, float]]  # results by seed
Seeds = Mapping[Levels, Set[int]]
Signs = Mapping[Levels, int]  # the cells of a contrast, each with its sign


@dataclass(frozen=True)
class LeftOut:
    """A combination of the other choices that is missing in an average, because runs diverged or have no result.

    where     the values of the other choices
    diverged  how many runs diverged, with the changed value and with the baseline's
    ended     how many runs ended, likewise
    """

    where: dict[str, Any]
    diverged: tuple[int, int]
    ended: tuple[int, int]


@dataclass(frozen=True)
class Effect:
    """The effect of `values` of `factors`, compared with the baseline's values, averaged over the other factors.

    With one factor it is a main effect: the mean change. With two it is an interaction: how much one choice's effect
    changes when the other is made too, (a, b) - (a, b0) - (a0, b) + (a0, b0).

    difference    averaged over the combinations of the other factors (contexts) that can be used
    seeds         the seeds of the values in `difference`
    contexts      how many combinations are averaged
    left_out      the combinations that cannot be used
    missing       how many runs are missing in the average. If any, it is a least-squares estimate with seeds as blocks
    test          over all combinations that have runs, diverged runs included
    p_holm        the test's p, corrected
    p_equivalent  of a main effect: the corrected p of two one-sided tests against a margin
    aliases       of a screen: the pairs of choices whose interactions are mixed into the effect, with their weights;
                  else None
    """

    factors: tuple[str, ...]
    values: tuple[Any, ...]
    baseline: tuple[Any, ...]
    difference: Difference
    seeds: tuple[int, ...]
    contexts: int
    left_out: tuple[LeftOut, ...]
    missing: int
    test: Test
    p_holm: float | None = None
    p_equivalent: float | None = None
    aliases: tuple[tuple[tuple[str, str], float], ...] | None = None

    @property
    def possible(self) -> int:
        return self.contexts + len(self.left_out)

    @property
    def verdict(self) -> str:
        return self.test.verdict(self.p_holm, self.p_equivalent)

    @property
    def is_certain(self) -> bool:
        """Whether the verdict is better or worse. For an interaction: whether it is significant, with either sign."""
        if len(self.factors) > 1:
            return self.p_holm is not None and self.p_holm < LEVEL
        return self.verdict in ("better", "worse")


@dataclass(frozen=True)
class Design:
    """Crossed choices and the outcomes of their runs.

    factors  each choice's values, the baseline's first
    cells    for each combination, the results of finished runs by seed
    lost     for each combination, the seeds that diverged
    low      for each combination, the seeds that ended in the lower of two groups
    sign     -1 if less is better, else 1
    """

    factors: Mapping[str, Sequence[Any]]
    cells: Cells
    lost: Seeds = field(default_factory=dict)
    low: Seeds = field(default_factory=dict)
    sign: int = 1

    @cached_property
    def fitted(self) -> CellMeans:
        """The least-squares fit of the cells in which no run diverged, where missing runs are missing by chance."""
        return CellMeans({levels: found for levels, found in self.cells.items() if found and not self.lost.get(levels)})


def effects(design: Design) -> list[Effect]:
    """Main effects, then interactions; for a screen, main effects only. Empty if no two factors are crossed."""
    return listed(design, _effect, _screened)


def listed(
    design: Design,
    effect_of: Callable[[Design, dict[int, int]], Effect | None],
    screened: Callable[[Design], list[Effect]],
) -> list[Effect]:
    """The effects of a design in the order of a report.

    effect_of  the effect of changed factors, numbers of factors to numbers of values; None if it cannot be had
    screened   the effects of a screen
    """
    if is_screen(design.cells):
        return screened(design)
    sizes = [len(values) for values in design.factors.values()]
    pairs = [
        {i: a, j: b}
        for i, j in combinations(range(len(sizes)), 2)
        for a in range(1, sizes[i])
        for b in range(1, sizes[j])
    ]
    interactions = [effect for changed in pairs if (effect := effect_of(design, changed))]
    if not interactions and not any(_has_run(design, changed) for changed in pairs):
        return []
    main = [effect for i, n in enumerate(sizes) for a in range(1, n) if (effect := effect_of(design, {i: a}))]
    return [*main, *interactions]


def _screened(design: Design) -> list[Effect]:
    """The main effects of a screen, from the seeds that every combination has finished; empty if there are none."""
    seeds = sorted(set.intersection(*(set(results) for results in design.cells.values())))
    if not seeds:
        return []
    names, half = list(design.factors), len(design.cells) // 2
    return [
        Effect(
            factors=(name,),
            values=(design.factors[name][1],),
            baseline=(design.factors[name][0],),
            difference=difference,
            seeds=tuple(seeds),
            contexts=half,
            left_out=(),
            missing=0,
            test=paired(difference, design.sign),
            aliases=tuple(((names[alias.pair[0]], names[alias.pair[1]]), alias.weight) for alias in mixed),
        )
        for name, difference, mixed in zip(names, contrasts(design.cells, seeds), aliases(design.cells), strict=True)
    ]


def _has_run(design: Design, changed: Mapping[int, int]) -> bool:
    """Whether all four cells of an interaction have a run, which may have diverged."""
    return any(
        all(design.cells.get(cell) or design.lost.get(cell) for cell in signs)
        for signs in contexts_of(design.cells, changed)
    )


def shows_interactions(design: Collection[Levels]) -> bool:
    """Whether two of the factors are changed both alone and together, with all other factors the same."""
    rows = set(design)
    return any(
        {_with(row, i, 0), _with(row, j, 0), _with(_with(row, i, 0), j, 0)} <= rows
        for row in rows
        for i, j in combinations(range(len(row)), 2)
        if row[i] and row[j]
    )


def crossed(cells: Cells, factors: Mapping[str, Sequence[Any]]) -> list[int]:
    """The seeds that every combination of all factors has; empty if a combination is missing."""
    size = 1
    for values in factors.values():
        size *= len(values)
    if len(cells) < size:
        return []
    return sorted(set.intersection(*(set(results) for results in cells.values())))


def _effect(design: Design, changed: Mapping[int, int]) -> Effect | None:
    cells = design.cells
    contexts = [signs for signs in contexts_of(cells, changed) if all(cell in cells for cell in signs)]
    usable = [signs for signs in contexts if not any(design.lost.get(c) or not cells[c] for c in signs)]
    kinds = {frozenset(cells[cell]) for signs in usable for cell in signs}
    if len(kinds) > 1:
        usable = [signs for signs in usable if design.fitted.can(signs)]
    if not usable:
        return None
    if len(kinds) == 1:
        seeds = sorted(*kinds)
        values = [_mean(cells, usable, seed) for seed in seeds]
    else:
        seeds, values = design.fitted.seeds, list(design.fitted.contrast(usable))
    difference = Difference(tuple(values))
    names = [list(design.factors)[i] for i in changed]
    return Effect(
        factors=tuple(names),
        values=tuple(design.factors[name][level] for name, level in zip(names, changed.values(), strict=True)),
        baseline=tuple(design.factors[name][0] for name in names),
        difference=difference,
        seeds=tuple(seeds),
        contexts=len(usable),
        left_out=tuple(left_out(design, signs, changed) for signs in contexts if signs not in usable),
        missing=sum(seed not in cells[cell] for signs in usable for cell in signs for seed in seeds),
        test=_test(design, contexts, difference),
    )


def _test(design: Design, contexts: Sequence[Signs], difference: Difference) -> Test:
    """The paired test, or a rank test if a seed of these cells diverged or ended in the lower group. The rank test uses
    the seeds that all of these cells have."""
    cells = [cell for signs in contexts for cell in signs]
    if not any(design.lost.get(cell) or design.low.get(cell) for cell in cells):
        return paired(difference, design.sign)
    sides = [[cell for signs in contexts for cell, sign in signs.items() if sign == side] for side in (1, -1)]
    ours, theirs, seeds = [], [], []
    for seed in sorted({seed for cell in cells for seed in (*design.cells[cell], *design.lost.get(cell, ()))}):
        a, b = (_outcome(design, side, seed) for side in sides)
        if a is not None and b is not None:
            ours.append(a)
            theirs.append(b)
            seeds.append(seed)
    low = [sum(any(seed in design.low.get(cell, ()) for cell in side) for seed in seeds) for side in sides]
    return assessed(difference, ours, theirs, sign=design.sign, low=(low[0], low[1]))


def _outcome(design: Design, side: Sequence[Levels], seed: int) -> float | None:
    """The mean of one side's cells, larger is better; -inf if a cell diverged, None if a cell has no result."""
    if any(seed in design.lost.get(cell, ()) for cell in side):
        return -math.inf
    found = [design.cells[cell][seed] for cell in side if seed in design.cells[cell]]
    return design.sign * sum(found) / len(found) if len(found) == len(side) else None


def left_out(design: Design, signs: Signs, changed: Mapping[int, int]) -> LeftOut:
    levels = next(iter(signs))
    where = {name: values[levels[i]] for i, (name, values) in enumerate(design.factors.items()) if i not in changed}
    sides = [[cell for cell, sign in signs.items() if sign == side] for side in (1, -1)]
    lost = [sum(len(design.lost.get(cell, ())) for cell in side) for side in sides]
    finished = [sum(len(design.cells[cell]) for cell in side) for side in sides]
    return LeftOut(where, (lost[0], lost[1]), (lost[0] + finished[0], lost[1] + finished[1]))


def contexts_of(cells: Cells, changed: Mapping[int, int]) -> Iterator[dict[Levels, int]]:
    """For each combination of the other factors, the cells of the contrast and their signs."""
    for levels in cells:
        if any(levels[i] != level for i, level in changed.items()):
            continue
        signs = {levels: 1}
        for i in changed:
            signs |= {_with(cell, i, 0): -sign for cell, sign in signs.items()}
        yield signs


def _with(levels: Levels, i: int, level: int) -> Levels:
    return (*levels[:i], level, *levels[i + 1 :])


def _mean(cells: Cells, contexts: Sequence[Signs], seed: int) -> float:
    total = sum(sign * cells[cell][seed] for signs in contexts for cell, sign in signs.items())
    return total / len(contexts)
