"""What each choice does on average over the others, and how two choices act together.

The contrasts are formed within each seed, so that they are paired as the variants are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from ablate.study.statistics import Difference, holm

Levels = tuple[int, ...]  # of each factor, the position of its value; 0 is the baseline's
Cells = Mapping[Levels, Mapping[int, float]]  # results by seed


@dataclass(frozen=True)
class Effect:
    """What `values` of `factors` do compared with the baseline's, averaged over the other factors.

    Of one factor a main effect: the mean change. Of two an interaction: by how much the change that one makes is
    another where the other has its value too, (a, b) - (a, b0) - (a0, b) + (a0, b0).

    contexts  the combinations of the other factors that it is averaged over
    possible  those that the cells have in all
    """

    factors: tuple[str, ...]
    values: tuple[Any, ...]
    baseline: tuple[Any, ...]
    difference: Difference
    seeds: tuple[int, ...]
    contexts: int
    possible: int
    p_holm: float | None = None


def effects(factors: Mapping[str, Sequence[Any]], cells: Cells) -> list[Effect]:
    """Main effects, then interactions, each kind corrected by Holm; empty where no two factors are crossed.

    A combination of the other factors counts where every cell of the contrast has all seeds of the combination that
    has most; those that do not are left out of this effect, not of the others.
    """
    names = list(factors)
    interactions = [
        effect
        for i, j in combinations(range(len(names)), 2)
        for a in range(1, len(factors[names[i]]))
        for b in range(1, len(factors[names[j]]))
        if (effect := _effect(factors, cells, {i: a, j: b}))
    ]
    if not interactions:
        return []
    main = [
        effect
        for i, name in enumerate(names)
        for a in range(1, len(factors[name]))
        if (effect := _effect(factors, cells, {i: a}))
    ]
    return [*_corrected(main), *_corrected(interactions)]


def crossed(cells: Cells, factors: Mapping[str, Sequence[Any]]) -> list[int]:
    """The seeds that every combination of all factors has; empty where the design is not complete."""
    size = 1
    for values in factors.values():
        size *= len(values)
    if len(cells) < size:
        return []
    return sorted(set.intersection(*(set(results) for results in cells.values())))


def _effect(factors: Mapping[str, Sequence[Any]], cells: Cells, changed: Mapping[int, int]) -> Effect | None:
    contrasts = {
        where: contrast
        for where, signs in _contexts(cells, changed)
        if (contrast := _by_seed(cells, signs)) is not None
    }
    if not any(contrasts.values()):
        return None
    fullest = max(contrasts.values(), key=len)
    seeds = tuple(sorted(fullest))
    used = [contrast for contrast in contrasts.values() if contrast.keys() >= set(seeds)]
    means = tuple(sum(contrast[seed] for contrast in used) / len(used) for seed in seeds)
    names = [list(factors)[i] for i in changed]
    return Effect(
        factors=tuple(names),
        values=tuple(factors[name][level] for name, level in zip(names, changed.values(), strict=True)),
        baseline=tuple(factors[name][0] for name in names),
        difference=Difference(means),
        seeds=seeds,
        contexts=len(used),
        possible=len(contrasts),
    )


def _contexts(cells: Cells, changed: Mapping[int, int]) -> Iterator[tuple[Levels, dict[Levels, int]]]:
    """For each combination of the other factors: the cells of the contrast and their signs."""
    for levels in cells:
        if any(levels[i] != level for i, level in changed.items()):
            continue
        signs = {levels: 1}
        for i in changed:
            signs |= {_with(cell, i, 0): -sign for cell, sign in signs.items()}
        yield levels, signs


def _with(levels: Levels, i: int, level: int) -> Levels:
    return (*levels[:i], level, *levels[i + 1 :])


def _by_seed(cells: Cells, signs: Mapping[Levels, int]) -> dict[int, float] | None:
    if any(cell not in cells for cell in signs):
        return None
    seeds = set.intersection(*(set(cells[cell]) for cell in signs))
    return {seed: sum(sign * cells[cell][seed] for cell, sign in signs.items()) for seed in seeds}


def _corrected(found: list[Effect]) -> list[Effect]:
    corrected = holm([effect.difference.p for effect in found])
    return [replace(effect, p_holm=p) for effect, p in zip(found, corrected, strict=True)]
