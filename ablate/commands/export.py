"""Write a run's trained network to a file that other programs can run: ONNX, or torch's exported program.

ablate export runs/07c0 net.onnx
ablate export runs/07c0 net.pt2
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="a run's directory")
    parser.add_argument("out", metavar="FILE", type=Path, help="the file to write: FILE.onnx or FILE.pt2")
    parser.add_argument(
        "--trust", action="store_true", help="allow code from outside this package that the run's configuration names"
    )


def run(options: argparse.Namespace) -> None:
    """Write the file."""
    from ablate.api.export import export

    print(export(options.run, options.out, trust=options.trust))
