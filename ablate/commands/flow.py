"""Draw the gradient maps of finished runs side by side, in one file.

ablate flow runs/A runs/B out.png
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="directories of finished runs")
    parser.add_argument("out", metavar="FILE.png", type=Path, help="the picture that is written")


def run(options: argparse.Namespace) -> None:
    """Write the picture."""
    from ablate.report import flow

    flow.write(options.runs, options.out)
