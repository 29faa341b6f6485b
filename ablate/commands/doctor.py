"""Find out which stored runs are whole, can be resumed, or are unusable, and why. Exit code 1 if one is unusable.

ablate doctor
ablate doctor runs --repair
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUNS", nargs="*", type=Path, help="run directories and folders of them (runs)")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="remove leftover files, and move unusable runs away, so that the same command trains them",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """Show the list."""
    from ablate.report.terminal import doctor

    return int(doctor.show(options.runs or [Path("runs")], options.repair, as_json=options.json))
