"""Measure what the harness costs on this machine: all comparisons, or those that you name.

ablate bench
ablate bench harness data trainer=cpu threads=1
"""

import argparse

from ablate import bench
from ablate.errors import InputError, nearest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="NAME | OVERRIDE",
        nargs="*",
        default=[],
        help=f"comparisons ({', '.join(bench.NAMES)}), and Hydra overrides for the trainings",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> None:
    """Show the comparisons. Raises InputError for an unknown name."""
    chosen = [word for word in options.words if word.isidentifier()]
    if unknown := [word for word in chosen if word not in bench.NAMES]:
        raise InputError(
            f"bench {unknown[0]}: there is no such comparison.{nearest(unknown[0], bench.NAMES)} There are"
            f" {', '.join(bench.NAMES)}."
        )
    bench.show([word for word in options.words if word not in chosen], chosen, as_json=options.json)
