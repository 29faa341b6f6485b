"""Check in a few training steps that a design keeps the harness's promises, such as the same numbers for one seed.

    python -m ablate check model=tiny_vit data=my_data

Each line is a yes or a no. The exit code is 1 if there is a no. No files are kept.
"""

import argparse

from ablate.configuration.composition import Composition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "ablate check [--json] [AXIS=OPTION | KEY=VALUE …] [HYDRA'S FLAGS]"
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(composition: Composition, options: argparse.Namespace) -> int:
    """Show the answers as they come."""
    from ablate.report.terminal import check

    return int(not check.show(composition, as_json=options.json))
