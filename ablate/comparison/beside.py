"""What lies beside the runs that are compared: runs of other lengths, and what was typed for other results."""

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from ablate.comparison.comparison import Comparison
from ablate.comparison.results import Result, distinct, find, varied
from ablate.configuration.values import identity, word
from ablate.errors import InputError, nearest
from ablate.runs.record import RESULTS

if TYPE_CHECKING:  # planning takes torch, which comparing does not
    from ablate.sweep.plan import PlannedCell

# What makes a number another one whatever the design is.
APART = ("trainer.max_epochs", "trainer.max_steps", "trainer.limit_train_batches")
NAMED = 3  # groups, or ways of running a file, that are named


@dataclass(frozen=True)
class Group:
    """Runs that have the same `values` of the keys in APART; only keys are named of which there are several."""

    values: dict[str, Any]
    results: list[Result]

    def __str__(self) -> str:
        return " ".join(f"{key}={word(value)}" for key, value in self.values.items())

    @property
    def count(self) -> str:
        return f"{len(self.results)} run{'s' * (len(self.results) > 1)}"


def groups(results: Sequence[Result], besides: Collection[str] = ()) -> list[Group]:
    """The runs in groups that may be compared within, the one with most runs first.

    Where no other choice varies within any of them, there is one group: then the lengths are what is compared.

    besides  keys that are choices here, whatever they are
    """
    keys = [key for key in APART if key not in besides and len(distinct(result.value(key) for result in results)) > 1]
    found: dict[str, Group] = {}
    for result in results:
        values = {key: result.value(key) for key in keys}
        found.setdefault(identity(values), Group(values, [])).results.append(result)
    if not any(varied(group.results) for group in found.values()):
        return [Group({}, list(results))]
    return sorted(found.values(), key=lambda group: -len(group.results))


def left_out(chosen: Group, found: Iterable[Group], source: str) -> list[str]:
    """What is said of the other groups, and how they are reported."""
    others = [group for group in found if group is not chosen]
    if not others:
        return []
    listed = "; ".join(f"{group.count} with {group} (report {source} {group})" for group in others[:NAMED])
    more = f"; {len(others) - NAMED} more kinds" if len(others) > NAMED else ""
    return [f"Compared are the {chosen.count} with {chosen}. Others are left out: {listed}{more}."]


def pilots(comparison: Comparison, source: str) -> list[str]:
    """What is said of values that one variant alone has, of fewer than half the usual runs: a try with another learning
    rate, say, lies among the runs that are meant."""
    factors, usual = comparison.factors, median(len(variant.entries) for variant in comparison.variants)
    said = []
    for key, values in factors.items() if len(factors) > 1 else ():
        having: dict[str, list[int]] = {word(value): [] for value in values}  # how many runs each variant has
        for variant in comparison.variants:
            having[word(variant.assignment[key])].append(len(variant.entries))
        most = max(having, key=lambda value: len(having[value]))
        for value, counts in having.items():
            if len(counts) == 1 < len(having[most]) and 2 * counts[0] < usual:
                runs = f"{counts[0]} run{'s' * (counts[0] > 1)}"
                left = f"report {source} {shlex.quote(f'{key}={most}')}"
                said.append(f"{key}={value} is in {runs} of one variant: if that was a try, {left} leaves it out.")
    return said


def matching(results: Sequence[Result], wanted: Iterable[str]) -> list[Result]:
    """The runs that have every `key=value` of `wanted`. Raises InputError where none has."""
    left = list(results)
    for typed in wanted:
        key, _, value = typed.partition("=")
        kept = [result for result in left if _is(_of(result, key), value)]
        if not kept:
            raise InputError(f"{typed}: no run has it.{_had(left, key)}")
        left = kept
    return left


def _of(result: Result, key: str) -> Any:
    return result.seed if key == "seed" else result.value(key)


def _is(value: Any, typed: str) -> bool:
    try:
        return word(value) == typed or identity(value) == identity(yaml.safe_load(typed))
    except yaml.YAMLError:
        return False


def _had(results: Sequence[Result], key: str) -> str:
    values = [word(value) for value in distinct(_of(result, key) for result in results) if value is not None]
    if values:
        return f" They have {', '.join(values[:8])}."
    return nearest(key, dict.fromkeys(key for result in results for key in result.typed))


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
