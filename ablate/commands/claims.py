"""Hold what sources say against reports, as a markdown table: agrees, disagrees or can't tell.

ablate claims results/claims.yaml
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE.yaml", type=Path, help="a list of claims; ablate/report/claims.py says how"
    )


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    from ablate.report import claims

    claims.show(options.file)
