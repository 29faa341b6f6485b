"""List every cell of a sweep file: its status, if it is invalid why, and what it costs. Nothing is trained.

ablate plan sweeps/quick.yaml
"""

import argparse

from ablate.commands import of_sweep_file
from ablate.commands.words import rounds as words
from ablate.process.exit_codes import DONE, WRONG_INPUT
from ablate.report.terminal import plan_table
from ablate.runs.origin import Here
from ablate.sweep import execution
from ablate.sweep.estimate import estimate
from ablate.sweep.plan import INVALID


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of_sweep_file.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--all", action="store_true", help=f"show more than {plan_table.SHOWN} cells")
    group = parser.add_argument_group("seeds where they are needed")
    group.add_argument("--until-decided", action="store_true", help="how many runs it takes to add seeds in rounds")
    words.add_rules(group)


def run(options: argparse.Namespace) -> int:
    """Show the cells of a sweep file. Returns the exit code: 2 if none of them is valid."""
    file, request = of_sweep_file.read(options)
    if options.until_decided:
        from ablate.commands import until_decided  # comparing takes SciPy, which a plan does not

        return until_decided.plan(options, file, request)
    cells = execution.planned(file, request, check_data=False, here=Here())
    estimate(cells, measure=not request.elsewhere)
    plan_table.show(file, cells, as_json=options.json, every=options.all)
    return WRONG_INPUT if all(cell.status == INVALID for cell in cells) else DONE
