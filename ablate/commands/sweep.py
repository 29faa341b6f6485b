"""Run the cells of a sweep file that have no result yet. The same command continues after an interruption.

ablate sweep sweeps/quick.yaml
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from rich.console import Console

from ablate.api import sweeping
from ablate.commands import of_sweep_file, until_decided, watch
from ablate.errors import InputError, bare
from ablate.process.exit_codes import CTRL_C, DONE, FAILED, WRONG_INPUT, by_signal
from ablate.process.interrupt import Interrupted
from ablate.report.terminal import ending, plan_table, sweep_view
from ablate.report.terminal.markup import plain, prose
from ablate.runs.record import RESULTS
from ablate.sweep import execution, twins
from ablate.sweep.engines import pool
from ablate.sweep.execution import Request
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import INVALID, PlannedCell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of_sweep_file.add_arguments(parser)
    parser.add_argument("--retry-failed", action="store_true", help="run only the failed cells, again")
    parser.add_argument(
        "--rerun-outdated", action="store_true", help="train again only the cells whose code or data have changed"
    )
    parser.add_argument("--watch", action="store_true", help="show it in the browser too, as `ablate watch FILE` does")
    until_decided.add_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Run the cells that have no result. Returns the exit code: 1 if a cell still has none."""
    file, request = of_sweep_file.read(options)
    if request.in_pool:
        pool.prepare()
    if options.until_decided:
        if options.watch:
            raise InputError(
                "--watch shows the file's seeds, not rounds: run `python -m ablate watch runs` beside instead."
            )
        return until_decided.run(options, file, request)
    cells = sweeping.planned(file, request)
    if all(cell.status == INVALID for cell in cells):
        plan_table.show(file, cells, as_json=False, every=False)
        return WRONG_INPUT
    valid = [cell for cell in cells if cell.status != INVALID]
    left = execution.to_run(cells, options.retry_failed, options.rerun_outdated)
    print(f"{bare(file.name)}: {len(cells)} cells, {len(left)} to do.", flush=True)
    notes = (plan_table.seeds_line(cells), plan_table.threads_line(cells), twins.line(cells))
    for line in (*plan_table.metric_lines(file, cells), *notes):
        if line:
            prose(Console(highlight=False), plain(line))
    with watch.beside(file, cells, options) if options.watch else nullcontext() as page:
        code = _run(file, cells, left, request)
        sweep_view.show_result(file, cells, [text for text in sys.argv[2:] if text != "--watch"])
        ending.show(file, cells, watch.words(file, options))
        if page is not None and not code:
            watch.stay(page)
    return code or (DONE if all(cell.status in RESULTS for cell in valid) else FAILED)


def _run(file: SweepFile, cells: Sequence[PlannedCell], left: Sequence[PlannedCell], request: Request) -> int:
    """Run those of the cells that are left. Returns the exit code of an interruption, else DONE."""
    try:
        sweeping.run(file, left, request, cells)
    except (pool.Stopped, Interrupted) as stop:
        return by_signal(stop.signum)
    except KeyboardInterrupt:
        return CTRL_C
    return DONE
