"""Try whether a design keeps what this harness promises of every run, on a few steps: each line a yes or a no.

    ablate check model=tiny_vit data=my_data

Exit code 1 where there is a no. Nothing is left behind.
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
