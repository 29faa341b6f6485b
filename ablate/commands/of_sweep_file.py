"""What the commands that take a sweep file share: its words on the command line."""

import argparse
import math
from pathlib import Path

from ablate.configuration import agent
from ablate.configuration.overrides import override
from ablate.errors import InputError
from ablate.report.numbers import unit
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


def folder(config_dir: Path | None) -> list[str]:
    """The override that stands for --config-dir. Raises InputError where there is no such folder."""
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise InputError(f"--config-dir {config_dir}: there is no such folder.")
    return [override("hydra.searchpath", [f"file://{config_dir.absolute()}"])]


def margin(typed: float | None, metric: str) -> float | None:
    """The margin in the metric's own units. Raises InputError for one that is none."""
    if typed is None:
        return None
    if not (math.isfinite(typed) and typed > 0):
        raise InputError(f"--margin {typed}: a number above 0 is expected, such as 0.5 points of accuracy.")
    return typed / unit(metric).factor
