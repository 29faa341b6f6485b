"""The arguments that all commands for a sweep file share."""

import argparse
from pathlib import Path

from ablate.configuration import agent
from ablate.configuration.overrides import folder
from ablate.sweep.execution import Request
from ablate.sweep.file import SweepFile

EPILOG = """\
An override applies to every cell; one that sets a parameter of the file replaces it. To choose the engine that runs the
cells, write hydra/launcher=pool (the default), basic (in this process), slurm or ray; to configure it,
hydra.launcher.KEY=VALUE.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=Path, help="a sweep file in W&B's format")
    parser.add_argument(
        "overrides", metavar="OVERRIDE", nargs="*", default=[], help="any number of Hydra overrides, such as runs_dir=…"
    )
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="a folder with option files of your own")


def read(options: argparse.Namespace) -> tuple[SweepFile, Request]:
    """The sweep file, and the typed overrides. Raises InputError."""
    agent.wandb_mode()  # raises once here if it is misspelt, instead of for every cell
    return SweepFile.read(options.file), Request.of([*folder(options.config_dir), *options.overrides])
