"""A plan on the terminal, and as JSON."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ablate.comparison.columns import assignments
from ablate.configuration import whole
from ablate.configuration.fingerprint import ADDED
from ablate.configuration.values import word
from ablate.errors import nearest
from ablate.process import processors
from ablate.report.numbers import DASH, about, count, duration, numbered
from ablate.report.terminal.markup import plain, prose
from ablate.report.terminal.narrow import fitted
from ablate.runs.record import RESULTS
from ablate.statistics.reach import LEVEL, least_p_rank_sum, seeds_for_ranks, tests_of
from ablate.sweep import twins
from ablate.sweep.estimate import overhead, seconds_left
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import DAMAGED, INVALID, OUTDATED, PlannedCell, named
from ablate.training.goal import KNOWN, MAXIMIZE

if TYPE_CHECKING:
    from ablate.comparison.looking.ahead import Ahead

SHOWN = 60  # rows; more only on request
COLOURS = {
    "finished": "green",
    "diverged": "yellow",
    "stopped": "yellow",
    "outdated": "yellow",
    "damaged": "yellow",
    "failed": "red",
    "invalid": "red",
    "running": "cyan",
}


def show(
    file: SweepFile, cells: Sequence[PlannedCell], *, as_json: bool, every: bool, rounds: "Ahead | None" = None
) -> None:
    """rounds: what adding seeds in rounds takes, where that is asked for"""
    if as_json:
        print(json.dumps(as_data(file, cells) | ({"rounds": asdict(rounds)} if rounds else {})))
        return
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    if file.description:
        prose(console, f"\n[bold]{plain(file.name)}[/bold]  {plain(file.description)}")
    shown = list(cells) if every else list(cells)[:SHOWN]
    console.print()
    console.print(fitted(_table(cells, shown), console, ("multiply-adds", "parameters", "training")))
    if len(shown) < len(cells):
        prose(console, f"[dim]… {len(cells) - len(shown):,} more cells (--all shows them, --json has all)[/dim]")
    for cell in shown:
        if cell.same:
            others = "; ".join(named(other) for other in cell.same)
            prose(console, f"[dim]{plain(cell.name)} stands for the same run as {plain(others)}[/dim]")
        if cell.reason and cell.status in (INVALID, DAMAGED, "failed", "interrupted"):
            colour = COLOURS.get(cell.status, "default")
            prose(console, f"[{colour}]{cell.status}[/] {plain(cell.name)}: {plain(cell.reason)}")
    for line in outdated_lines(cells):
        prose(console, f"[{COLOURS[OUTDATED]}]{OUTDATED}[/] {plain(line)}")
    console.print()
    prose(console, _sum(cells))
    difference = _unasked(cells)
    if difference:
        prose(console, f"[yellow]{difference}[/yellow]")
    for line in metric_lines(file, cells):
        prose(console, f"[yellow]{plain(line)}[/yellow]")
    for said in filter(None, (None if rounds else seeds_line(cells), threads_line(cells), twins.line(cells))):
        prose(console, plain(said))
    if rounds:
        prose(console, rounds_line(rounds))


def outdated_lines(cells: Sequence[PlannedCell]) -> list[str]:
    """What has changed since which cells were trained, and how to train them again."""
    by_reason: dict[str | None, list[PlannedCell]] = {}
    for cell in cells:
        if cell.status == OUTDATED:
            by_reason.setdefault(cell.reason, []).append(cell)
    lines = [
        f"{first.name}{f' and {len(more):,} more' if more else ''}: {reason} since"
        for reason, (first, *more) in by_reason.items()
    ]
    again = "cells are not run unless asked for: `sweep --rerun-outdated` trains them again, rerun=true every cell."
    return [*lines, again] if lines else []


def metric_lines(file: SweepFile, cells: Sequence[PlannedCell]) -> list[str]:
    """What to know of the file's metric: that no run will have it, or that W&B's server would turn it round."""
    if file.metric is None:
        return []
    name, lines = file.metric_name, absent_metric(file, cells)
    if file.metric.get("goal") is None and file.goal == MAXIMIZE:
        lines.append(
            f"metric {name}: more is better, but without a goal W&B's server minimises: write goal: {MAXIMIZE}."
        )
    return lines


def absent_metric(file: SweepFile, cells: Sequence[PlannedCell]) -> list[str]:
    """Where no run will have the file's metric: that, and what may be meant."""
    if file.metric is None:
        return []
    name = file.metric_name
    known = [cell.values for cell in cells if cell.values]
    if any(values["module"] != ADDED["module"] for values in known):  # what another one logs nobody knows
        return []
    measured = {f"{split}/{own}" for values in known for own in values["metrics"] for split in ("train", "val", "test")}
    few = max((cell.values["data"]["num_classes"] for cell in cells if cell.values), default=6) <= 5
    if name not in KNOWN and name not in measured:
        meant = nearest(name, [*KNOWN, *measured])
        return [f"metric {name}: no run has it, unless a callback of yours logs it.{meant}"]
    if name.endswith("/acc_top5") and few:
        return [f"metric {name}: no run has it, as there are no more than five classes. Use {name[:-5]}."]
    return []


def threads_line(cells: Sequence[PlannedCell]) -> str | None:
    """What a sweep that does not say `threads` should know: whose results are not its cells', and what lies idle."""
    cores = processors.usable()
    if cores == 1 or not any(cell.one_thread for cell in cells):
        return None
    left = sum(cell.status != INVALID for cell in cells)
    is_new = not any(cell.status in RESULTS for cell in cells)  # with other threads a result would be another
    use_all = is_new and 0 < 2 * left <= cores
    idle = f" {numbered(left, 'cell')} would leave cores idle: threads={cores // left} uses them." if use_all else ""
    return (
        "threads=1: each cell computes on one core and several run at once, as the file does not set `threads`. Typed"
        f" alone, a run gets all cores (threads={cores} here): its sums round differently, so it counts as another"
        f" run.{idle}"
    )


def seeds_line(cells: Sequence[PlannedCell]) -> str | None:
    """Where so many seeds cannot make a difference certain, or cannot once seeds fail: that, and how many can."""
    valid = [cell for cell in cells if cell.status != INVALID]
    counts = Counter(frozenset((k, word(v)) for k, v in c.assignment.items() if k != "seed") for c in valid)
    if len(counts) < 2 or all(cell.status in RESULTS for cell in valid):
        return None
    values = defaultdict(set)
    for key, value in chain.from_iterable(counts):
        values[key].add(value)
    n, tests = min(counts.values()), tests_of(len(counts), [len(found) for found in values.values() if len(found) > 1])
    enough = f"{seeds_for_ranks(tests)} seeds for each"
    if n == 1:
        return f"One seed for each variant: no test can tell a difference from chance. Use more, such as {enough}."
    if (least := min(1.0, tests * least_p_rank_sum(n, n))) < LEVEL:
        return None
    counted = f" with {tests} tests counted" if tests > 1 else ""
    return (
        f"{n} seeds for each variant: where some diverge or never learn, ranks decide, and nothing can be certain (p is"
        f" at least {least:.2g}{counted}). With {enough} it can."
    )


def rounds_line(ahead: "Ahead") -> str:
    """How many runs seeds in rounds take."""
    said = (
        f"Seeds in rounds, with looks at {', '.join(map(str, ahead.looks))}: {ahead.least:,} runs at least, "
        f"{ahead.most:,} at most, {ahead.done:,} of them done."
    )
    if ahead.if_equal is not None and ahead.if_different is not None:
        said += (
            f" To be expected are about {ahead.if_equal:.0f} where no variant differs, and about "
            f"{ahead.if_different:.0f} where all differ clearly (simulated: normal noise, no margin)."
        )
    return said


def as_data(file: SweepFile, cells: Sequence[PlannedCell]) -> dict[str, Any]:
    """The plan as plain values: `name`, `description`, `metric`, `notes` on it, `cells`, and `counts` by status."""
    return {
        "name": file.name,
        "description": file.description,
        "metric": dict(file.metric) if file.metric else None,
        "notes": metric_lines(file, cells),
        "counts": Counter(cell.status for cell in cells),
        "seconds_left": seconds_left(cells),
        "cells": [
            {
                "assignment": cell.assignment,
                "overrides": cell.overrides,
                "fingerprint": cell.fingerprint,
                "status": cell.status,
                "reason": cell.reason,
                "same": cell.same,
                "params": cell.params,
                "macs": cell.macs,
                "seconds": cell.seconds,
            }
            for cell in cells
        ],
    }


def varying(cells: Sequence[PlannedCell]) -> list[str]:
    """The parameters that have more than one value among the cells, or that only some variants set."""
    seen: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for cell in cells:
        counts.update(cell.assignment.keys())
        for key, value in cell.assignment.items():
            seen.setdefault(key, set()).add(word(value))
    return [key for key, values in seen.items() if len(values) > 1 or counts[key] < len(cells)]


def values_of(cells: Sequence[PlannedCell], names: Sequence[str]) -> list[list[str]]:
    """The parameters' values in each cell, for rich: dim where the cell does not set them and has what they come to."""
    found = []
    for cell, comes_to in zip(cells, assignments(cells) if cells else (), strict=True):
        lacks = whole.absent(cell.values or {})
        row = []
        for name in names:
            if name in cell.assignment:
                row.append(plain(word(cell.assignment[name])))
            elif name in comes_to and cell.values is not None:
                row.append(f"[dim]{DASH if whole.concerns(name, lacks) else plain(word(comes_to[name]))}[/]")
            else:
                row.append(f"[dim]{cell.values['seed']}[/]" if name == "seed" and cell.values else "")
        found.append(row)
    return found


def _table(cells: Sequence[PlannedCell], shown: Sequence[PlannedCell]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    names = varying(cells)
    for name in names:
        table.add_column(name)
    table.add_column("status")
    for name in ("parameters", "multiply-adds", "training"):
        table.add_column(name, justify="right")
    for cell, values in zip(shown, values_of(shown, names), strict=True):
        colour = COLOURS.get(cell.status, "default")
        estimated = "" if cell.status in (OUTDATED, *RESULTS) or cell.seconds is None else "~"
        numbers = ["" if cell.params is None else f"{cell.params:,}", "" if cell.macs is None else count(cell.macs)]
        seconds = estimated + duration(cell.seconds) if cell.status != INVALID else ""
        table.add_row(*values, f"[{colour}]{cell.status}[/]", *numbers, seconds)
    return table


def _sum(cells: Sequence[PlannedCell]) -> str:
    counts = Counter(cell.status for cell in cells)
    parts = ", ".join(f"{number:,} {status}" for status, number in counts.items())
    same = sum(len(cell.same) for cell in cells)
    merged = f" ({same:,} more come out identical)" if same else ""
    left = seconds_left(cells)
    if left is None:
        time = " Training time left: unknown until a cell has finished."
    else:
        time = (
            f" Training time left: {about(left)}, one after the other{_beside(cells)}.{_source(cells)}" if left else ""
        )
    return f"{len(cells):,} cells{merged}: {parts}.{time}"


def _source(cells: Sequence[PlannedCell]) -> str:
    """What the time is estimated from."""
    by_steps = [cell for cell in cells if cell.by_steps and cell.status not in (*RESULTS, OUTDATED, INVALID)]
    if not by_steps:
        return " The estimate is from the cells that finished last."
    return (
        " The estimate is from a few steps timed just now: it grows where other programs or other cells keep the"
        " machine busy, and is better once a cell has finished."
    )


def _beside(cells: Sequence[PlannedCell]) -> str:
    """What the cells take besides their training: to start, to test and to store, as those took that have finished."""
    if (taken := overhead(cells)) is None:
        return "; each cell takes some seconds more to start and to test"
    return f"; each cell takes {about(max(1.0, taken))} more to start and to test"


def _unasked(cells: Sequence[PlannedCell]) -> str | None:
    """What differs between cells without being a choice of its own: size and cost."""
    ranges = []
    for field, name in (("params", "parameters"), ("macs", "multiply-adds")):
        numbers = [number for cell in cells if (number := getattr(cell, field)) is not None]
        if numbers and min(numbers) < max(numbers):
            ratio = max(numbers) / min(numbers)
            more = f"{ratio:.3g} times" if ratio >= 2 else f"+{100 * (ratio - 1):.3g}%"
            ranges.append(f"{name} from {count(min(numbers))} to {count(max(numbers))} ({more})")
    return f"The cells differ in {' and in '.join(ranges)}." if ranges else None
