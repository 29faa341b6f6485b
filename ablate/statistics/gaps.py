"""Crossed choices with missing runs, by least squares on those that are there.

Each result is its combination's mean plus its seed's part plus noise. For runs that are missing by chance only: one
that diverged is no such gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

Levels = tuple[int, ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CellMeans:
    """The means of combinations by least squares with seeds as blocks, from all runs and from those without one seed.

    cells  results by seed; seeds that less than half of the cells have are left out
    """

    cells: Mapping[Levels, Mapping[int, float]]

    @cached_property
    def seeds(self) -> list[int]:
        have = [seed for results in self.cells.values() for seed in results]
        return [seed for seed in sorted(set(have)) if 2 * have.count(seed) >= len(self.cells)]

    @cached_property
    def _fits(self) -> list[tuple[Floats, NDArray[np.int64]]]:
        """Of all seeds, then without each: the cells' means, and which of them can be compared."""
        nothing = float("nan")
        table = np.array([[cell.get(seed, nothing) for seed in self.seeds] for cell in self.cells.values()])
        return [_fit(table), *(_fit(np.delete(table, i, axis=1)) for i in range(len(self.seeds)))]

    @cached_property
    def _rows(self) -> dict[Levels, int]:
        return {levels: i for i, levels in enumerate(self.cells)}

    def can(self, signs: Mapping[Levels, int]) -> bool:
        """Whether the contrast can still be formed after any one seed is left out."""
        if len(self.seeds) < 2 or any(levels not in self._rows for levels in signs):
            return False
        rows = [self._rows[levels] for levels in signs]
        return all(-1 < group[rows].min() == group[rows].max() for _, group in self._fits)

    def contrast(self, contexts: Sequence[Mapping[Levels, int]]) -> tuple[float, ...]:
        """One value per seed, whose mean is the contrast's least-squares estimate, averaged over the contexts.

        They are the jackknife's pseudo-values over seeds (Miller 1974, Biometrika 61, 1-15), about that estimate:
        without gaps the contrast of each seed, and with gaps their deviation is that of an estimate of fewer runs.
        """
        rows = [self._rows[levels] for signs in contexts for levels in signs]
        weights = np.array([sign for signs in contexts for sign in signs.values()]) / len(contexts)
        whole, *without = (float(weights @ means[rows]) for means, _ in self._fits)
        centre, n = float(np.mean(without)), len(without)
        return tuple(whole + (n - 1) * (centre - part) for part in without)


def _fit(table: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The means of the rows, seeds removed, and the groups of rows that share seeds, one by one; -1 is an empty row."""
    there = ~np.isnan(table)
    count = there.sum(axis=1)
    share = there / np.maximum(count, 1)[:, None]
    filled = np.where(there, table, 0.0)
    means = (filled * share).sum(axis=1)
    # The normal equations, the rows' means put in.
    normal = np.diag(there.sum(axis=0)) - there.T.astype(float) @ share
    seeds = np.linalg.lstsq(normal, (np.where(there, table - means[:, None], 0.0)).sum(axis=0), rcond=None)[0]
    _, group = connected_components(there.T.astype(int) @ there.astype(int), directed=False)
    return means - share @ seeds, np.where(count > 0, group[there.argmax(axis=1)], -1)
