"""Draw the gradient maps of finished runs side by side in one picture.

ablate flow runs/A runs/B out.png
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="directories of finished runs")
    parser.add_argument("out", metavar="FILE.png", type=Path, help="the picture to write")


def run(options: argparse.Namespace) -> None:
    """Write the picture."""
    from ablate.report import flow

    flow.write(options.runs, options.out)
