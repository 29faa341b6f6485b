"""What the commands that take a sweep file share: its words on the command line."""

import argparse
from pathlib import Path

from ablate.configuration import agent
from ablate.configuration.overrides import folder
from ablate.sweep.execution import Request
from ablate.sweep.file import SweepFile

EPILOG = """\
An override holds for every cell; one that names a parameter of the file takes its place. hydra/launcher=pool (the
default), basic (in this process), slurm or ray chooses what runs the cells; hydra.launcher.KEY=VALUE sets it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=Path, help="a sweep file in W&B's format")
    parser.add_argument(
        "overrides", metavar="OVERRIDE", nargs="*", default=[], help="none or more Hydra overrides, such as runs_dir=…"
    )
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="a folder with option files of your own")


def read(options: argparse.Namespace) -> tuple[SweepFile, Request]:
    """The file, and what was typed with it. Raises InputError."""
    agent.wandb_mode()  # misspelt, it would be every cell's fault
    return SweepFile.read(options.file), Request.of([*folder(options.config_dir), *options.overrides])
