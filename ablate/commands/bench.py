"""Measure what the harness costs on this machine: the conditions first, then each row as soon as it is there.

ablate bench
ablate bench all --rounds 5
ablate bench harness data trainer=cpu threads=1
"""

import argparse
from pathlib import Path

from ablate import bench
from ablate.configuration.overrides import folder
from ablate.errors import InputError, hush, nearest

ALL = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = epilog()
    parser.add_argument(
        "words",
        metavar="NAME | OVERRIDE",
        nargs="*",
        default=[],
        help=f"comparisons ({', '.join(bench.NAMES)}, or {ALL}), and Hydra overrides for the trainings",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each comparison; more are more exact")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="a folder with option files of your own")
    parser.add_argument("--json", action="store_true", help="as JSON, with every round's figures")


def epilog() -> str:
    """What each comparison takes."""
    each = ", ".join(f"{name} {minutes:g}" for name, minutes in bench.MINUTES.items())
    usual = sum(bench.MINUTES[name] for name in bench.BY_DEFAULT)
    return (
        f"Minutes on two idle cores: {each}.\nWithout a name: {', '.join(bench.BY_DEFAULT)}, {usual:g} minutes;"
        f" {ALL}: {sum(bench.MINUTES.values()):g}. large_images and scale\nhave no rounds."
    )


def run(options: argparse.Namespace) -> None:
    """Show the comparisons. Raises InputError for an unknown name, or less than a round."""
    named = [word for word in options.words if word.isidentifier()]
    if unknown := [word for word in named if word not in (*bench.NAMES, ALL)]:
        raise InputError(
            f"bench {unknown[0]}: there is no such comparison.{nearest(unknown[0], (*bench.NAMES, ALL))} There are"
            f" {', '.join(bench.NAMES)}; {ALL} is every one."
        )
    if options.rounds is not None and options.rounds < 1:
        raise InputError(f"--rounds {options.rounds}: give a number of rounds, at least 1.")
    wanted = bench.NAMES if ALL in named else named or bench.BY_DEFAULT
    overrides = [*folder(options.config_dir), *(word for word in options.words if word not in named)]
    hush()
    chosen = [name for name in bench.NAMES if name in wanted]
    bench.show(overrides, chosen, rounds=options.rounds, as_json=options.json)
