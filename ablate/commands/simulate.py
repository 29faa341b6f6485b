"""Show how often verdicts are wrong, on simulated sweeps whose truth is known: docs/simulations.md has the tables.

ablate simulate --sweeps 2000
ablate simulate normal chance
ablate simulate --until-decided --sweeps 100000
ablate simulate --replay results/norm/comparison.json --looks 4,6,8
"""

import argparse
from pathlib import Path

from ablate.commands.words import rounds as words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="only the rows whose name holds one of these words")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--until-decided", action="store_true", help="sweeps whose seeds are added in rounds")
    which.add_argument("--judge", action="store_true", help="searches among candidates that do nothing")
    which.add_argument(
        "--replay", nargs="+", type=Path, metavar="FILE", help="comparison.json of reports, their seeds in other orders"
    )
    parser.add_argument(
        "--sweeps",
        type=int,
        metavar="N",
        help="simulated for each row (1000); with --until-decided a tenth where designs differ (10000); with --judge "
        "searches (200); with --replay orders (200)",
    )
    words.add_looks(parser)
    parser.add_argument("--json", action="store_true", help="all numbers instead of the tables")


def run(options: argparse.Namespace) -> None:
    """Print the tables. Raises InputError."""
    from ablate.commands.until_decided import looks_in
    from ablate.errors import InputError
    from ablate.report.terminal import simulate, simulate_rounds
    from ablate.statistics.sequential import Looks

    if options.sweeps is not None and options.sweeps < 1:
        raise InputError(f"--sweeps {options.sweeps}: one sweep at least.")
    in_rounds = options.until_decided or options.judge or options.replay
    if in_rounds and options.words:
        raise InputError(f"simulate {options.words[0]}: words choose rows of the other tables: leave them out.")
    looks = Looks(looks_in(options.looks), options.spending)
    if options.until_decided:
        simulate_rounds.show_rounds(looks, options.sweeps or 10_000, options.json)
    elif options.judge:
        simulate_rounds.show_search(looks, options.sweeps or 200, options.json)
    elif options.replay:
        simulate_rounds.show_replay(options.replay, looks, options.sweeps or 200, options.json)
    else:
        simulate.show(options.words, options.sweeps or 1000, as_json=options.json)
