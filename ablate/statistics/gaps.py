"""Contrasts of crossed choices with missing runs, by least squares.

The model: a result is the mean of its combination, plus an effect of its seed, plus noise. It is valid only for runs
that are missing by chance, so not for runs that diverged.
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
    """Least-squares means of combinations with seeds as blocks, from all seeds, and leaving out each seed in turn.

    cells  results by seed. Seeds that less than half of the cells have are not used
    """

    cells: Mapping[Levels, Mapping[int, float]]

    @cached_property
    def seeds(self) -> list[int]:
        have = [seed for results in self.cells.values() for seed in results]
        return [seed for seed in sorted(set(have)) if 2 * have.count(seed) >= len(self.cells)]

    @cached_property
    def _fits(self) -> list[tuple[Floats, NDArray[np.int64]]]:
        """The fit of all seeds, then the fits without each: the cells' means, and which of them can be compared."""
        nothing = float("nan")
        table = np.array([[cell.get(seed, nothing) for seed in self.seeds] for cell in self.cells.values()])
        return [_fit(table), *(_fit(np.delete(table, i, axis=1)) for i in range(len(self.seeds)))]

    @cached_property
    def _rows(self) -> dict[Levels, int]:
        return {levels: i for i, levels in enumerate(self.cells)}

    def can(self, signs: Mapping[Levels, int]) -> bool:
        """Whether the contrast can be estimated, also if any one seed is left out."""
        if len(self.seeds) < 2 or any(levels not in self._rows for levels in signs):
            return False
        rows = [self._rows[levels] for levels in signs]
        return all(-1 < group[rows].min() == group[rows].max() for _, group in self._fits)

    def contrast(self, contexts: Sequence[Mapping[Levels, int]]) -> tuple[float, ...]:
        """One value per seed. Their mean is the contrast's least-squares estimate, averaged over the contexts.

        These are jackknife pseudo-values over seeds (Miller 1974, Biometrika 61, 1-15), centred at that estimate.
        Without gaps they equal the contrast of each seed. With gaps, their deviation reflects that there are fewer
        runs.
        """
        rows = [self._rows[levels] for signs in contexts for levels in signs]
        weights = np.array([sign for signs in contexts for sign in signs.values()]) / len(contexts)
        whole, *without = (float(weights @ means[rows]) for means, _ in self._fits)
        centre, n = float(np.mean(without)), len(without)
        return tuple(whole + (n - 1) * (centre - part) for part in without)


def _fit(table: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The means of the rows without the seeds' effects, and each row's group. Rows can be compared within a group: they
    are connected by common seeds. -1 is an empty row."""
    there = ~np.isnan(table)
    count = there.sum(axis=1)
    share = there / np.maximum(count, 1)[:, None]
    filled = np.where(there, table, 0.0)
    means = (filled * share).sum(axis=1)
    # The normal equations for the seeds' effects, with the rows' means eliminated.
    normal = np.diag(there.sum(axis=0)) - there.T.astype(float) @ share
    seeds = np.linalg.lstsq(normal, (np.where(there, table - means[:, None], 0.0)).sum(axis=0), rcond=None)[0]
    _, group = connected_components(there.T.astype(int) @ there.astype(int), directed=False)
    return means - share @ seeds, np.where(count > 0, group[there.argmax(axis=1)], -1)
