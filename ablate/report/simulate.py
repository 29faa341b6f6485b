"""`python -m ablate simulate`: what verdicts promise, and what holds under which noise, as a table."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from ablate.errors import InputError
from ablate.report.numbers import DASH
from ablate.study.simulation import EQUAL, ONE_DIFFERS, Row, simulate

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


def show(arguments: Sequence[str]) -> None:
    """Print two tables in markdown, of equal designs and of one that differs, each line as soon as it is known.

    Raises InputError for a word that no row has, and for less than one sweep.
    """
    options = _parser().parse_args(arguments)
    if options.sweeps < 1:
        raise InputError(f"--sweeps {options.sweeps}: one sweep at least.")
    for word in options.noise:
        if not any(word in name for name in (*EQUAL, *ONE_DIFFERS)):
            raise InputError(f"simulate {word}: no row has that. Rows: {'; '.join((*EQUAL, *ONE_DIFFERS))}.")
    chosen = [name for name in (*EQUAL, *ONE_DIFFERS) if any(word in name for word in options.noise or [""])]
    if options.json:
        print(json.dumps([asdict(row) for row in simulate(options.sweeps, chosen)], indent=1))
        return
    for kind, names in (("equal", EQUAL), ("differs", ONE_DIFFERS)):
        wanted = [name for name in chosen if name in names]
        if wanted:
            print(_line(HEADS[kind]))
            print(_line(["---", "---", *["---:"] * (len(HEADS[kind]) - 2)]))
        for row in simulate(options.sweeps, wanted):
            print(_line(_cells(row)), flush=True)
        if wanted:
            print()


def _cells(row: Row) -> list[str]:
    found = [row.found] if row.noise in EQUAL else [row.better, row.worse]
    shares = [*found, row.covered, row.withheld]
    said = [DASH if share is None else f"{share:.1%}" for share in shares]
    return [row.noise, row.designs, str(row.seeds), *said]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ablate simulate", description=__doc__)
    parser.add_argument("noise", nargs="*", help="only the rows whose name holds one of these words")
    parser.add_argument("--sweeps", type=int, default=1000, metavar="N", help="simulated for each row (%(default)s)")
    parser.add_argument("--json", action="store_true", help="all numbers instead of the tables")
    return parser
