"""Write a sweep file with fewer combinations than the full grid, from a sweep file whose parameters list options.

ablate design sweeps/factorial.yaml --one-at-a-time -o one.yaml
ablate design sweeps/seven_choices.yaml --screen --fold-over
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.sweep.design_file import DesignFile

EPILOG = """\
A parameter's first value is the baseline's. Parameters with one value, and `seed`, are copied unchanged. The new file
is an ordinary sweep file with a parameter `variant`: use it with `ablate sweep`, `ablate report` and `wandb sweep`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=Path, help="a sweep file whose parameters list options")
    which = parser.add_mutually_exclusive_group(required=True)
    for name, text in {
        "one-at-a-time": "the baseline, and each other option alone",
        "leave-one-out": "every parameter at its second value, and variants that set one of them back",
        "pairs": "each change alone, and each pair of changes: shows interactions",
        "screen": "many choices changed together in few runs: finds the large effects among choices of two options",
    }.items():
        which.add_argument(f"--{name}", dest="design", action="store_const", const=name, help=text)
    parser.add_argument(
        "--fold-over",
        action="store_true",
        help="add the screen's mirror image: no effect is then mixed with an interaction of two choices",
    )
    parser.add_argument("-o", dest="out", metavar="OUT.yaml", type=Path, help="write to this file instead of printing")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="a folder with option files of your own")


def run(options: argparse.Namespace) -> None:
    """Write the file, and print a summary of it. Raises InputError."""
    from ablate.commands import of_sweep_file
    from ablate.errors import InputError, bare
    from ablate.sweep import design_file

    if options.fold_over and options.design != "screen":
        raise InputError("--fold-over needs a screen: write --screen --fold-over.")
    if options.out and options.out.exists():
        raise InputError(f"{options.out} already exists: choose another name.")
    made = design_file.made(
        options.file, options.design, fold_over=options.fold_over, folder=of_sweep_file.folder(options.config_dir)
    )
    summary = sys.stdout if options.out else sys.stderr
    if options.out:
        options.out.write_text(made.text, encoding="utf-8")
    else:
        print(made.text, end="")
    for line in _lines(made):
        print(bare(line), file=summary)
    if options.out:
        print(f"Written: {options.out}. To run it: python -m ablate sweep {options.out}", file=summary)


def _lines(made: "DesignFile") -> list[str]:
    """The summary: how many runs the design has, and what it cannot show."""
    from ablate.report.designs import pairs
    from ablate.report.numbers import numbered
    from ablate.statistics.screens import aliases, is_screen

    runs, names = len(made.changes) * made.seeds, list(made.choices)
    lines = [
        f"{numbered(len(made.changes), 'variant')} with {numbered(made.seeds, 'seed')} each: {numbered(runs, 'run')};"
        f" the grid has {made.grid:,}."
    ]
    levels = [tuple(int(name in change) for name in names) for change in made.changes]
    if is_screen(levels):
        for name, mixed in zip(names, aliases(levels), strict=True):
            named = [((names[a.pair[0]], names[a.pair[1]]), a.weight) for a in mixed]
            lines.append(
                f"{name}: " + (f"mixed with {pairs(named)}" if named else "not mixed with interactions of two choices")
            )
    elif made.design in ("one-at-a-time", "leave-one-out"):
        lines.append("It cannot show interactions, whether two choices act together: --pairs can.")
    return lines
