"""Where a comparison's cells come from: runs in folders, or a sweep file's plan."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.comparison import retyped
from ablate.comparison.columns import assignments
from ablate.comparison.comparison import Comparison, compare
from ablate.comparison.derived import needed, untold
from ablate.comparison.results import Result, distinct, read, varied
from ablate.comparison.variants import Entry, levels, move_first
from ablate.configuration import whole
from ablate.configuration.values import identity
from ablate.errors import InputError, bare
from ablate.runs.record import RESULTS, RunRecord

log = logging.getLogger(__name__)

if TYPE_CHECKING:  # planning takes torch, which comparing does not
    from ablate.sweep.file import SweepFile
    from ablate.sweep.plan import PlannedCell


def from_results(
    results: Sequence[Result],
    source: str,
    metric: str | None = None,
    chosen: Mapping[str, str] | None = None,
    goal: str | None = None,
    margin: float | None = None,
    is_paired: bool = True,
    chance: float | None = None,
) -> Comparison:
    """Compare runs by what was typed for them. `chosen` names the baseline's values where it is not the defaults.

    metric: without one, `usual`.
    """
    metric = metric or usual([result.record for result in results])
    factors = choices(results)
    made_here = any(result.overrides is not None for result in results)
    usually = "the defaults, as far as runs have them" if made_here else "the first row's values"
    why = usually if factors else "the only variant"
    by_cell: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        cell = identity(assignment(result, factors))
        by_cell.setdefault((cell, result.seed), []).append(result)
    # A finished run before one that is not, then the latest.
    cells = [sorted(runs, key=lambda r: (r.record.status == "finished", r.record.started)) for runs in by_cell.values()]
    entries = []
    for (*older, result), typed in zip(cells, retyped.overrides([runs[-1] for runs in cells]), strict=True):
        entries.append(
            Entry(
                assignment=assignment(result, factors),
                seed=result.seed,
                status=result.record.status,
                overrides=typed,
                result=result,
                reason=result.record.reason,
                superseded=tuple(older),
                without=frozenset(key for key in factors if not result.has(key)),
            )
        )
    entries.sort(key=lambda entry: levels(entry.assignment, factors))
    return compare(
        entries,
        factors,
        source=source,
        metric=metric,
        chosen=chosen,
        why_baseline=why,
        goal=goal,
        chance=chance,
        margin=margin,
        is_paired=is_paired,
    )


def choices(results: Sequence[Result]) -> dict[str, list[Any]]:
    """By what the runs differ, each choice with its values: the default first, or else what the first run has."""
    factors = needed(varied(results), results)
    factors |= {key: distinct(result.value(key) for result in results) for key in untold(factors, results)}
    for key, found in factors.items():
        having = next(result for result in results if result.has(key))
        ours = [value for value in found if identity(value) == identity(having.default(key))]
        move_first(found, ours[0] if ours else having.value(key))
    return factors


def assignment(result: Result, factors: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The run's choices; the baseline's where its network has none."""
    return {key: result.value(key) if result.has(key) else found[0] for key, found in factors.items()}


def from_plan(
    cells: Sequence["PlannedCell"],
    file: "SweepFile",
    metric: str | None = None,
    chosen: Mapping[str, str] | None = None,
    goal: str | None = None,
    margin: float | None = None,
) -> Comparison:
    """Compare the cells of a sweep file, whether or not they have been run: its first values are the baseline's."""
    return from_plans([(file, cells)], metric, chosen, goal, margin)


def from_plans(
    plans: Sequence[tuple["SweepFile", Sequence["PlannedCell"]]],
    metric: str | None = None,
    chosen: Mapping[str, str] | None = None,
    goal: str | None = None,
    margin: float | None = None,
) -> Comparison:
    """Compare the cells of sweep files as one study: what several of them have counts once, and the first values of the
    first file are the baseline's."""
    from ablate.sweep.plan import DAMAGED, named  # what made the cells, so imported by now

    cells = _once([cell for _, planned in plans for cell in planned])
    rows = assignments(cells)
    lacking = [whole.absent(cell.values or {}) for cell in cells]
    having = {key: [i for i, lacks in enumerate(lacking) if not whole.concerns(key, lacks)] for key in rows[0]}
    values = {key: distinct(rows[i][key] for i in which) for key, which in having.items()}
    factors = {key: found for key, found in values.items() if len(found) > 1}
    first = plans[0][0].baseline
    for key, found in factors.items():
        unsaid = [rows[i][key] for i in having[key] if key not in cells[i].assignment]
        if key in first:
            move_first(found, first[key])
        elif unsaid:
            move_first(found, unsaid[0])
    results = [_result(cell) for cell in cells]
    metric = metric or usual([result.record for result in results if result])
    entries = [
        Entry(
            assignment={key: found[0] if whole.concerns(key, lacks) else row[key] for key, found in factors.items()},
            seed=int(cell.assignment.get("seed", (cell.values or {}).get("seed", 0))),
            # What is wrong with the files of a result is said beside it; the record still holds it.
            status=result.record.status if result and cell.status in (DAMAGED, *RESULTS) else cell.status,
            overrides=tuple(cell.overrides),
            result=result,
            reason=cell.reason,
            without=frozenset(key for key in factors if whole.concerns(key, lacks)),
            same=tuple(map(named, cell.same)),
            fingerprint=cell.fingerprint,
        )
        for cell, row, lacks, result in zip(cells, rows, lacking, results, strict=True)
    ]
    files = [file for file, _ in plans]
    return compare(
        entries,
        factors,
        source=" ".join(str(file.path) for file in files),
        metric=metric,
        chosen=chosen,
        why_baseline="the first value of every parameter" + (f" of {files[0].path}" if len(files) > 1 else ""),
        question=" ".join(dict.fromkeys(file.description for file in files if file.description)) or None,
        goal=goal or next((said for file in files if (said := _said_goal(file, metric))), None),
        margin=margin,
    )


def _said_goal(file: "SweepFile", metric: str) -> str | None:
    """The goal that the file itself gives its metric, if that is the one meant."""
    return file.metric.get("goal") if file.metric is not None and file.metric_name == metric else None


def usual(records: Sequence[RunRecord]) -> str:
    """What is compared where nobody says: the accuracy in the test, or its loss where no run that ended has one."""
    finished = [record.metrics for record in records if record.status == "finished"]
    has_loss_alone = finished and not any("test/acc" in metrics for metrics in finished)
    return "test/loss" if has_loss_alone and any("test/loss" in metrics for metrics in finished) else "test/acc"


def _once(cells: Sequence["PlannedCell"]) -> list["PlannedCell"]:
    """Each run once, and each combination that cannot be one."""
    found: dict[str, PlannedCell] = {}
    for cell in cells:
        found.setdefault(cell.fingerprint or f"invalid {cell.name}", cell)
    return list(found.values())


def _result(cell: "PlannedCell") -> Result | None:
    """The cell's stored result, or None. A damaged one is left out with a warning."""
    try:
        return read(cell.directory, cell.record) if cell.record else None
    except InputError as error:
        log.warning("left out: %s", bare(error))
        cell.status, cell.reason = "damaged", str(error)
        return None
