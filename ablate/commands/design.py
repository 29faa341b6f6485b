"""Write a sweep file that runs fewer combinations than the full grid, from one whose parameters list options.

ablate design sweeps/factorial.yaml --one-at-a-time -o one.yaml
ablate design sweeps/factorial.yaml --screen --fold-over
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.sweep.design_file import DesignFile

EPILOG = """\
A parameter's first value is the baseline's. Parameters with one value, and `seed`, stay as they are. The new file is an
ordinary sweep file with a parameter `variant`, for `ablate sweep`, `ablate report` and `wandb sweep` alike.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=Path, help="a sweep file whose parameters list options")
    which = parser.add_mutually_exclusive_group(required=True)
    for name, said in {
        "one-at-a-time": "the baseline, and each other option alone",
        "leave-one-out": "every parameter at its second value, and that less one each",
        "pairs": "each change alone, and each two together: shows interactions",
        "screen": "all choices changed together in few runs: finds the large effects among many choices of two options",
    }.items():
        which.add_argument(f"--{name}", dest="design", action="store_const", const=name, help=said)
    parser.add_argument(
        "--fold-over", action="store_true", help="the screen's mirror image too: effects clear of interactions of two"
    )
    parser.add_argument("-o", dest="out", metavar="OUT.yaml", type=Path, help="where to write; else it is printed")
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="a folder with option files of your own")


def run(options: argparse.Namespace) -> None:
    """Write the file, and say what it has. Raises InputError."""
    from ablate.commands import of_sweep_file
    from ablate.errors import InputError, bare
    from ablate.sweep import design_file

    if options.fold_over and options.design != "screen":
        raise InputError("--fold-over is of a screen: write --screen --fold-over.")
    if options.out and options.out.exists():
        raise InputError(f"{options.out} is there already: give another name.")
    made = design_file.made(
        options.file, options.design, fold_over=options.fold_over, folder=of_sweep_file.folder(options.config_dir)
    )
    said = sys.stdout if options.out else sys.stderr
    if options.out:
        options.out.write_text(made.text, encoding="utf-8")
    else:
        print(made.text, end="")
    for line in _lines(made):
        print(bare(line), file=said)
    if options.out:
        print(f"Written: {options.out}. Run it: ablate sweep {options.out}", file=said)


def _lines(made: "DesignFile") -> list[str]:
    """How many runs it has, and what it cannot show."""
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
                f"{name}: " + (f"mixed with {pairs(named)}" if named else "clear of interactions of two choices")
            )
    elif made.design in ("one-at-a-time", "leave-one-out"):
        lines.append("It cannot show whether two choices act together (interactions): --pairs can.")
    return lines
