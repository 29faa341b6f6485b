"""What lies in a sweep's folder where none of its cells has a result."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.comparison.results import Result, find
from ablate.configuration.values import identity
from ablate.errors import InputError
from ablate.runs.record import RESULTS

if TYPE_CHECKING:  # planning takes torch, which comparing does not
    from ablate.sweep.plan import PlannedCell

NAMED = 3  # ways of running the file that are named


def stored_otherwise(cells: Sequence["PlannedCell"], path: Path, typed: Sequence[str]) -> list[str]:
    """The results that a sweep file's cells have with other overrides, and the commands that report those.

    Nothing where a cell has the result that was asked for.

    path   of the file
    typed  the overrides with which it was planned
    """
    planned = [cell for cell in cells if cell.values is not None]
    if not planned or any(cell.status in RESULTS for cell in cells):
        return []
    folder = planned[0].directory.parent
    try:
        stored = [result for result in find([folder]) if result.record.status in RESULTS]
    except InputError:
        return [f"{folder} has no runs."]
    known = _by_choices(planned)
    counts = Counter(ran for result in stored if (ran := _ran_with(result, known, typed)) is not None)
    kept = [text for text in typed if text.startswith(("runs_dir=", "hydra.searchpath="))]
    said = []
    for ran, number in counts.most_common(NAMED):
        what = f"{number:,} result{'s exist' if number > 1 else ' exists'} with {' '.join(ran) or 'nothing typed'}"
        if set(ran) == {text for text in typed if text not in kept}:
            said.append(f"{what}, of another machine or version: python -m ablate report {folder}")
        else:
            said.append(f"{what}: {shlex.join(['python', '-m', 'ablate', 'report', str(path), *ran, *kept])}")
    return said or [f"{folder} has {len(stored):,} results, none of them of this file's cells."]


def _by_choices(cells: Sequence["PlannedCell"]) -> dict[tuple[str, ...], dict[str, "PlannedCell"]]:
    """The cells by their seed and the values of their parameters, for each set of parameters that cells have."""
    found: dict[tuple[str, ...], dict[str, PlannedCell]] = {}
    for cell in cells:
        chosen = {key.lstrip("+"): value for key, value in cell.assignment.items()}
        seed = chosen.pop("seed", (cell.values or {})["seed"])
        found.setdefault(tuple(chosen), {})[identity([seed, *chosen.values()])] = cell
    return found


def _ran_with(
    result: Result, known: dict[tuple[str, ...], dict[str, "PlannedCell"]], typed: Sequence[str]
) -> tuple[str, ...] | None:
    """What was typed for the run besides the parameters of the cell that it is of; None where it is of none."""
    for keys, cells in known.items():
        if cell := cells.get(identity([result.seed, *(result.value(key) for key in keys)])):
            # `threads` is added to cells that do not say it.
            unasked = [text for text in cell.overrides if text.startswith("threads=") and text not in typed]
            return tuple(text for key, text in result.typed.items() if key not in keys and text not in unasked)
    return None
