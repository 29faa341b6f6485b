"""`python -m ablate plan` and `python -m ablate sweep`."""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from ablate.errors import InputError, bare
from ablate.report import plan_table, sweep_view
from ablate.study import place
from ablate.study import sweep as engine
from ablate.study.engines import pool
from ablate.study.estimate import estimate
from ablate.study.origin import Here
from ablate.study.overrides import override
from ablate.study.plan import INVALID
from ablate.study.record import RESULTS
from ablate.study.sweep import Request
from ablate.study.sweep_file import SweepFile
from ablate.training import agent
from ablate.training.interrupt import Interrupted

DONE, FAILURE, WRONG_INPUT = 0, 1, 2


def plan(arguments: list[str]) -> int:
    """The cells of a sweep file: what is done, what is left, what it costs. Returns the exit code."""
    parser = _parser("plan", "Show every cell of a sweep file: done, to do, invalid and why, and what it costs.")
    parser.add_argument("--json", action="store_true", help="the plan as JSON")
    parser.add_argument("--all", action="store_true", help=f"show more than {plan_table.SHOWN} cells")
    file, request, options = _read(parser, arguments)
    cells = engine.planned(file, request, check_data=False, here=Here())
    estimate(cells, measure=not request.elsewhere)
    plan_table.show(file, cells, as_json=options.json, every=options.all)
    return WRONG_INPUT if all(cell.status == INVALID for cell in cells) else DONE


def sweep(arguments: list[str], planned: Callable[[], None] = lambda: None) -> int:
    """Run the cells of a sweep file that are left to do. Returns the exit code: 1 where one is left without.

    planned  called when it is known what there is to do, and what that takes has been imported
    """
    parser = _parser("sweep", "Run the cells of a sweep file that have no result yet.")
    parser.add_argument("--retry-failed", action="store_true", help="run the failed cells again, and no others")
    parser.add_argument(
        "--rerun-outdated", action="store_true", help="train the cells again whose code or data changed, and no others"
    )
    file, request, options = _read(parser, arguments)
    if request.in_pool:
        pool.prepare()
    cells = engine.planned(file, request, check_data=not request.elsewhere, here=Here())
    planned()
    if all(cell.status == INVALID for cell in cells):
        plan_table.show(file, cells, as_json=False, every=False)
        return WRONG_INPUT
    valid = [cell for cell in cells if cell.status != INVALID]
    left = engine.to_run(cells, options.retry_failed, options.rerun_outdated)
    print(f"{bare(file.name)}: {len(cells)} cells, {len(left)} to run.", flush=True)
    for line in (*plan_table.metric_lines(file, cells), plan_table.threads_line(cells)):
        if line:
            print(bare(line), flush=True)
    code = DONE
    if left:
        place.make(left[0].directory.parent)
    try:
        view = sweep_view.SweepView(file, left)
        with view if request.in_pool else nullcontext():  # the others show their runs themselves
            engine.sweep(left, request, view)
    except (pool.Stopped, Interrupted) as stop:
        code = 128 + stop.signum
    except KeyboardInterrupt:
        code = 130
    sweep_view.show_result(file, cells, arguments)
    return code or (DONE if all(cell.status in RESULTS for cell in valid) else FAILURE)


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m ablate {command}",
        description=description,
        epilog="Overrides hold for every cell; one that names a parameter of the file takes its place. hydra/launcher="
        "pool (the default), basic (in this process), slurm or ray chooses what runs the cells, hydra.launcher.KEY=… "
        "sets it.",
    )
    parser.add_argument("file", type=Path, help="a sweep file in W&B's format")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, such as data.root=… or runs_dir=…")
    parser.add_argument("--config-dir", "-cd", type=Path, help="a folder with options of your own")
    return parser


def _read(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[SweepFile, Request, argparse.Namespace]:
    options = parser.parse_intermixed_args(arguments)
    agent.wandb_mode()  # misspelt, it would be every cell's fault
    folder = []
    if options.config_dir:
        if not options.config_dir.is_dir():
            raise InputError(f"--config-dir {options.config_dir}: there is no such folder.")
        folder = [override("hydra.searchpath", [f"file://{options.config_dir.absolute()}"])]
    return SweepFile.read(options.file), Request.of([*folder, *options.overrides]), options
