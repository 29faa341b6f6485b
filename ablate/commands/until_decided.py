"""`sweep --until-decided`: seeds are added in rounds, and a variant stops as soon as enough is known of it."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path

from ablate.api.comparing import in_its_units
from ablate.commands.words import rounds as words
from ablate.comparison.comparison import Comparison
from ablate.comparison.gathering import from_plan
from ablate.comparison.looking import rounds
from ablate.comparison.looking.ahead import Ahead
from ablate.comparison.looking.rounds import Declared, Progress
from ablate.configuration import place
from ablate.errors import InputError, bare
from ablate.process.exit_codes import DONE, WRONG_INPUT
from ablate.report.numbers import unit
from ablate.report.terminal import plan_table, rounds_view, sweep_view
from ablate.runs import record
from ablate.runs.origin import Here
from ablate.statistics.paired import LEVEL
from ablate.statistics.sequential import Looks
from ablate.sweep import execution
from ablate.sweep.estimate import estimate
from ablate.sweep.execution import Request
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import PlannedCell
from ablate.training.goal import goal_of


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Those of `ablate sweep`."""
    group = parser.add_argument_group("seeds where they are needed")
    group.add_argument(
        "--until-decided", action="store_true", help="add seeds in rounds, and stop variants that are decided"
    )
    words.add_rules(group)
    words.add_new_rules(group)


def run(options: argparse.Namespace, file: SweepFile, request: Request) -> int:
    """Run the rounds that are left. Returns the exit code."""
    looks = looks_of(options)
    file = with_seeds(file, request, looks)
    cells = execution.planned(file, request, check_data=not request.elsewhere, here=Here())
    comparison = from_plan(cells, file, options.metric, None, options.goal)
    seeds = tuple(file.parameters["seed"])
    family = rounds.family(comparison, seeds[0])
    if not family:
        raise InputError(f"{file.path}: there is no variant to compare with the baseline.")
    wanted = declared(options, looks, seeds, comparison.goal, family)
    runs_dir = next(cell.directory.parent for cell in cells if cell.values)
    path = rounds.path_of(runs_dir, file.name, request.typed)
    comparison, stands, rules = go(cells, file, request, path, wanted, options)
    rounds_view.show(comparison, stands, rules, sys.argv[2:])
    sweep_view.show_offline(file, cells)
    return 0 if stands.look is None else 1


def plan(options: argparse.Namespace, file: SweepFile, request: Request) -> int:
    """Show the cells, and how many of them the rounds take. Returns the exit code."""
    looks = looks_of(options)
    file = with_seeds(file, request, looks)
    cells = execution.planned(file, request, check_data=False, here=Here())
    estimate(cells, measure=not request.elsewhere)
    runs_dir = next((cell.directory.parent for cell in cells if cell.values), None)
    if runs_dir is None:
        plan_table.show(file, cells, as_json=options.json, every=options.all)
        return WRONG_INPUT
    comparison = from_plan(cells, file, options.metric, None, options.goal)
    seeds = tuple(file.parameters["seed"])
    family = rounds.family(comparison, seeds[0])
    if not family:
        raise InputError(f"{file.path}: there is no variant to compare with the baseline.")
    known = rounds.read(rounds.path_of(runs_dir, file.name, request.typed))
    rules = known or declared(options, looks, seeds, comparison.goal, family)
    ahead = Ahead.of(comparison, rules, family)
    plan_table.show(file, cells, as_json=options.json, every=options.all, rounds=ahead)
    return DONE


def declared(
    options: argparse.Namespace,
    looks: Looks,
    seeds: tuple[int, ...],
    goal: str,
    family: dict[str, str],
    level: float = LEVEL,
) -> Declared:
    """What was typed, as rules."""
    return Declared(
        metric=options.metric,
        goal=goal,
        looks=looks.seeds,
        spending=looks.spending,
        margin=in_its_units(options.margin, options.metric),
        seeds=seeds,
        families=(family,),
        begun=record.now(),
        level=level,
    )


def go(
    cells: Sequence[PlannedCell],
    file: SweepFile,
    request: Request,
    path: Path,
    wanted: Declared,
    options: argparse.Namespace,
) -> tuple[Comparison, Progress, Declared]:
    """Lay down the rules, or take those that are there, and run all rounds that can be run. Raises InputError."""
    place.make(path.parent.parent)
    rules, said = rounds.declare(path, wanted, options.new_rules, unit(options.metric).factor)
    for line in said:
        print(bare(line), flush=True)
    retry_failed, rerun_outdated = options.retry_failed, options.rerun_outdated
    while True:
        comparison = from_plan(cells, file, options.metric, None, options.goal)
        stands = rounds.progress(comparison, rules)
        left = _left(cells, stands, retry_failed, rerun_outdated)
        if not left:
            return comparison, rounds.by_rounds(comparison, rules, stands), rules
        print(rounds_view.round_line(stands, rules, len(left)), flush=True)
        view = sweep_view.SweepView(file, left)
        with view if request.in_pool else nullcontext():  # the others show their runs themselves
            execution.sweep(left, request, view)
        retry_failed = rerun_outdated = False


def told_elsewhere(as_json: bool) -> AbstractContextManager[object]:
    """In it, what would be printed goes to the standard error where the standard output is to be JSON alone."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def with_seeds(file: SweepFile, request: Request, looks: Looks) -> SweepFile:
    """The file with as many seeds as the last look has: its own, then the numbers after them. Raises InputError."""
    if file.method != "grid" or file.run_cap is not None:
        raise InputError(f"{file.path}: seeds are added to grids without a run_cap, where all variants get each seed.")
    if any(text.lstrip("+").startswith("seed=") for text in request.typed):
        raise InputError("seeds are added as they are needed: leave seed= out, or list them in the file.")
    own = list(file.parameters.get("seed", [0]))
    if not all(type(seed) is int for seed in own):
        raise InputError(f"{file.path}: seed: {own}: whole numbers are expected.")
    more = range(max(own) + 1, max(own) + 1 + looks.seeds[-1])
    seeds = [*own, *more][: looks.seeds[-1]]
    return rounds.seeded(file, seeds)


def looks_of(options: argparse.Namespace) -> Looks:
    """What was typed. Raises InputError."""
    goal_of(options.metric, options.goal)
    return Looks(looks_in(options.looks), options.spending)


def looks_in(typed: str) -> tuple[int, ...]:
    """Numbers of seeds. Raises InputError."""
    try:
        return tuple(int(text) for text in typed.split(","))
    except ValueError as error:
        raise InputError(f"--looks {typed}: give numbers of seeds, such as 4,6,8,12.") from error


def _left(
    cells: Sequence[PlannedCell], stands: Progress, retry_failed: bool, rerun_outdated: bool
) -> list[PlannedCell]:
    """The cells of the round that can be run."""
    by_name = {cell.fingerprint: cell for cell in cells if cell.fingerprint}
    wanted = [by_name[entry.fingerprint] for entry in stands.wanted if entry.fingerprint]
    again = execution.to_run(wanted, retry_failed, rerun_outdated) if retry_failed or rerun_outdated else []
    return again + execution.to_run(wanted, retry_failed=False)
