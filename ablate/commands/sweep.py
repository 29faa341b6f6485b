"""Run the cells of a sweep file that have no result yet. The same command continues after an interruption.

ablate sweep sweeps/quick.yaml
"""

import argparse
import sys

from ablate.api import sweeping
from ablate.commands import of_sweep_file, until_decided
from ablate.errors import bare
from ablate.process.exit_codes import CTRL_C, DONE, FAILED, WRONG_INPUT, by_signal
from ablate.process.interrupt import Interrupted
from ablate.report.terminal import plan_table, sweep_view
from ablate.runs.record import RESULTS
from ablate.sweep import execution
from ablate.sweep.engines import pool
from ablate.sweep.plan import INVALID


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of_sweep_file.add_arguments(parser)
    parser.add_argument("--retry-failed", action="store_true", help="run only the failed cells, again")
    parser.add_argument(
        "--rerun-outdated", action="store_true", help="train again only the cells whose code or data have changed"
    )
    until_decided.add_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Run the cells that have no result. Returns the exit code: 1 if a cell still has none."""
    file, request = of_sweep_file.read(options)
    if request.in_pool:
        pool.prepare()
    if options.until_decided:
        return until_decided.run(options, file, request)
    cells = sweeping.planned(file, request)
    if all(cell.status == INVALID for cell in cells):
        plan_table.show(file, cells, as_json=False, every=False)
        return WRONG_INPUT
    valid = [cell for cell in cells if cell.status != INVALID]
    left = execution.to_run(cells, options.retry_failed, options.rerun_outdated)
    print(f"{bare(file.name)}: {len(cells)} cells, {len(left)} to run.", flush=True)
    for line in (*plan_table.metric_lines(file, cells), plan_table.threads_line(cells)):
        if line:
            print(bare(line), flush=True)
    code = DONE
    try:
        sweeping.run(file, left, request)
    except (pool.Stopped, Interrupted) as stop:
        code = by_signal(stop.signum)
    except KeyboardInterrupt:
        code = CTRL_C
    sweep_view.show_result(file, cells, sys.argv[2:])
    return code or (DONE if all(cell.status in RESULTS for cell in valid) else FAILED)
