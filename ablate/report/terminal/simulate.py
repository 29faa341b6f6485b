"""`python -m ablate simulate`: how often verdicts are wrong under which noise, as a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from ablate.comparison.simulation.fixed import EQUAL, ONE_DIFFERS, Row, simulate
from ablate.errors import InputError
from ablate.report.numbers import DASH

HEADS = {
    "equal": ("noise", "designs", "seeds", "found, all false", "intervals that cover", "withheld"),
    "differs": (
        "what is unlike",
        "designs",
        "seeds",
        "called better",
        "called worse",
        "intervals that cover",
        "withheld",
    ),
}


def show(words: Sequence[str], sweeps: int, as_json: bool = False) -> None:
    """Print two tables in markdown, of equal designs and of one that differs, each line as soon as it is known.

    words   only the rows whose name holds one of these; without any, all

    Raises InputError for a word that no row has, and for less than one sweep.
    """
    if sweeps < 1:
        raise InputError(f"--sweeps {sweeps}: one sweep at least.")
    for word in words:
        if not any(word in name for name in (*EQUAL, *ONE_DIFFERS)):
            raise InputError(f"simulate {word}: no row has that. Rows: {'; '.join((*EQUAL, *ONE_DIFFERS))}.")
    chosen = [name for name in (*EQUAL, *ONE_DIFFERS) if any(word in name for word in words or [""])]
    if as_json:
        print(json.dumps([asdict(row) for row in simulate(sweeps, chosen)], indent=1))
        return
    for kind, names in (("equal", EQUAL), ("differs", ONE_DIFFERS)):
        wanted = [name for name in chosen if name in names]
        if wanted:
            print(line(HEADS[kind]))
            print(line(["---", "---", *["---:"] * (len(HEADS[kind]) - 2)]))
        for row in simulate(sweeps, wanted):
            print(line(_cells(row)), flush=True)
        if wanted:
            print()


def _cells(row: Row) -> list[str]:
    found = [row.found] if row.noise in EQUAL else [row.better, row.worse]
    shares = [*found, row.covered, row.withheld]
    said = [DASH if share is None else f"{share:.1%}" for share in shares]
    return [row.noise, row.designs, str(row.seeds), *said]


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
