"""The choices of a sweep's cells as columns: of every cell the value of every key that any of them sets."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ablate.configuration.bulk import Composer
from ablate.errors import InputError

if TYPE_CHECKING:
    from ablate.comparison.variants import Assignment  # which takes SciPy
    from ablate.sweep.plan import PlannedCell

_UNKNOWN = object()


def assignments(cells: Sequence["PlannedCell"]) -> list["Assignment"]:
    """What each cell sets, and what the keys that only others set come to in it: the option of an axis, or a value.

    An invalid cell, which comes to nothing, has there what the first cell has that does not set the key either.
    """
    keys = dict.fromkeys(key for cell in cells for key in cell.assignment if key != "seed")
    composer = Composer()
    found: list[Assignment] = []
    for cell in cells:
        lacking = [key for key in keys if key not in cell.assignment]
        found.append(cell.assignment | {key: _implied(cell, key, composer) for key in lacking})
    for key in keys:
        known = next(_known(found, cells, key), None)
        for assignment in found:
            if assignment[key] is _UNKNOWN:
                assignment[key] = known
    return [{key: assignment[key] for key in keys} for assignment in found]


def _implied(cell: "PlannedCell", key: str, composer: Composer) -> Any:
    if cell.values is None:
        return _UNKNOWN
    try:
        return composer.chosen(cell.overrides, key.lstrip("+"))
    except (InputError, HydraException, OmegaConfBaseException):
        return _UNKNOWN


def _known(found: Sequence["Assignment"], cells: Sequence["PlannedCell"], key: str) -> Iterator[Any]:
    for assignment, cell in zip(found, cells, strict=True):
        if key not in cell.assignment and assignment[key] is not _UNKNOWN:
            yield assignment[key]
