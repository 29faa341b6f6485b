"""`python -m ablate simulate` with --until-decided, --judge or --replay: what seeds in rounds are worth, as tables in
markdown."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ablate.comparison.simulation import in_rounds
from ablate.comparison.simulation.in_rounds import Row
from ablate.comparison.simulation.replay import Replayed, replay
from ablate.comparison.simulation.search import CANDIDATES, search
from ablate.errors import InputError
from ablate.report.numbers import DASH
from ablate.report.terminal.simulate import line
from ablate.statistics.sequential import Looks

# The heads of each table, how many of these are of texts, a row's cells, and the rows.
Table = tuple[Sequence[str], int, Callable[[Row], Sequence[str]], Iterator[Row]]


def show_rounds(looks: Looks, sweeps: int, as_json: bool) -> None:
    """Sweeps where all designs are equal; a tenth as many where one is better, and where there is a margin."""
    few = max(1, sweeps // 10)
    tables: list[Table] = [
        (
            ("noise", "designs", "found, all false", "intervals that cover", "withheld", "runs", "of"),
            1,
            lambda row: (row.noise, str(row.designs), *_shares(row.found, row.covered, row.withheld), *_runs(row)),
            in_rounds.without_effect(looks, sweeps),
        ),
        (
            (
                "the last design is better by",
                "noise, spending",
                "designs",
                "found",
                "of one look",
                "others found",
                "intervals that cover",
                "withheld",
                "runs",
                "of",
            ),
            2,
            lambda row: (
                row.kind,
                f"{row.noise}, {row.spending.replace('_', '-')}",
                str(row.designs),
                *_shares(row.called, row.alone, row.found, row.covered, row.withheld),
                *_runs(row),
            ),
            in_rounds.with_effect(looks, few),
        ),
        (
            ("the last design", "designs", "called equivalent", "others found", "intervals that cover", "runs", "of"),
            1,
            lambda row: (row.kind, str(row.designs), *_shares(row.called, row.found, row.covered), *_runs(row)),
            in_rounds.with_margin(looks, few),
        ),
    ]
    if as_json:
        print(json.dumps([asdict(row) for *_, rows in tables for row in rows], indent=1))
        return
    for heads, texts, cells, rows in tables:
        _heads(heads, texts)
        for row in rows:
            print(line(cells(row)), flush=True)
        print()


def show_search(looks: Looks, searches: int, as_json: bool) -> None:
    """Candidates that do nothing, by three rules."""
    found = search(looks, searches)
    if as_json:
        print(json.dumps([asdict(row) for row in found], indent=1))
        return
    _heads(
        (f"of {CANDIDATES} candidates that do nothing", "searches that keep one", "kept in a search", "seeds each"), 1
    )
    for row in found:
        print(line((row.rule, f"{row.any:.1%}", f"{row.mean:.2f}", f"{row.runs:.1f}")))


def show_replay(files: Sequence[Path], looks: Looks, orders: int, as_json: bool) -> None:
    """Stored comparisons. Raises InputError for a file that is none, and where none has seeds enough."""
    replayed = {path: replay(path.parent.name, _read(path), looks, orders) for path in files}
    found = [row for row in replayed.values() if row]
    few = ", ".join(str(path) for path, row in replayed.items() if not row)
    if not found:
        raise InputError(f"{few}: there are fewer seeds than the last look's {looks.seeds[-1]}: give other --looks.")
    if as_json:
        print(json.dumps([asdict(row) for row in found], indent=1))
        return
    _heads(("report", "variants", "runs", "of", "called by all seeds", "of these kept", "called otherwise"), 1)
    for row in found:
        print(line(_replayed(row)))
    if len(found) > 1:
        sums = {
            name: sum(getattr(row, name) for row in found)
            for name in ("variants", "runs", "full", "called", "kept", "otherwise")
        }
        print(line(_replayed(Replayed(name="all", seeds=looks.seeds[-1], orders=orders, **sums))))
    if few:
        print(f"\nLeft out, with fewer than {looks.seeds[-1]} seeds: {few}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there: --replay takes the comparison.json of reports.") from error
    except ValueError as error:
        raise InputError(f"{path} is no comparison.json: {error}.") from error
    if not isinstance(known, dict) or "variants" not in known:
        raise InputError(f"{path} is no comparison.json: it has no variants.")
    return known


def _replayed(row: Replayed) -> Sequence[str]:
    shares = [f"{row.runs:.1f}", str(row.full), str(row.called), f"{row.kept:.2f}", f"{row.otherwise:.2f}"]
    return row.name, str(row.variants), *shares


def _heads(heads: Sequence[str], texts: int) -> None:
    print(line(heads))
    print(line([*["---"] * texts, *["---:"] * (len(heads) - texts)]), flush=True)


def _shares(*shares: float | None) -> list[str]:
    return [DASH if share is None else f"{share:.1%}" for share in shares]


def _runs(row: Row) -> tuple[str, str]:
    return f"{row.runs:.1f}", str(row.full)
