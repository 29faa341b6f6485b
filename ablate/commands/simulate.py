"""Show how often verdicts are wrong, on simulated sweeps whose truth is known: docs/statistics.md has the table.

ablate simulate --sweeps 2000
ablate simulate normal chance
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", metavar="WORD", nargs="*", help="only the rows whose name holds one of these words")
    parser.add_argument("--sweeps", type=int, default=1000, metavar="N", help="simulated for each row (%(default)s)")
    parser.add_argument("--json", action="store_true", help="all numbers instead of the tables")


def run(options: argparse.Namespace) -> None:
    """Print the tables."""
    from ablate.report.terminal import simulate

    simulate.show(options.words, options.sweeps, as_json=options.json)
