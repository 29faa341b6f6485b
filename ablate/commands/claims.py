"""Compare claims of papers and tutorials with reports, as a markdown table: agrees, disagrees or can't tell.

ablate claims results/claims.yaml
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE.yaml", type=Path, help="a list of claims; ablate/report/claims.py describes the format"
    )


def run(options: argparse.Namespace) -> None:
    """Print the table."""
    from ablate.report import claims

    claims.show(options.file)
