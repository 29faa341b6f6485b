"""Run the baseline of a sweep file against itself, with other seeds: the noise floor of a comparison.

ablate aa sweeps/quick.yaml
ablate aa sweeps/quick.yaml --seeds 16 --metric val/acc

The runs are those of the sweep's baseline: what is there already is not trained again, and a sweep goes on with them.
"""

import argparse
import json
from dataclasses import replace

from ablate.api import sweeping
from ablate.commands import of_sweep_file, until_decided
from ablate.comparison.gathering import from_plan
from ablate.comparison.looking.rounds import results
from ablate.errors import InputError
from ablate.process.exit_codes import DONE, FAILED
from ablate.report.terminal import noise_floor as terminal
from ablate.statistics.noise_floor import noise_floor
from ablate.statistics.sequential import Looks
from ablate.sweep import execution
from ablate.sweep.engines import pool
from ablate.sweep.file import SweepFile
from ablate.training.goal import GOALS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    of_sweep_file.add_arguments(parser)
    parser.add_argument("--seeds", type=int, default=8, metavar="N", help="how many runs of it (%(default)s)")
    parser.add_argument("--metric", help="what is compared (test/acc, or test/loss where no accuracy is measured)")
    parser.add_argument("--goal", choices=GOALS, help="which of its values is better, where that is not known")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """Run what is missing, and show what luck makes of it. Returns the exit code: 1 where a run has no result."""
    file, request = of_sweep_file.read(options)
    if options.seeds < 2:
        raise InputError(f"--seeds {options.seeds}: two at least, to compare one with the other.")
    file = until_decided.with_seeds(_baseline(file), request, Looks((options.seeds,)))
    if request.in_pool:
        pool.prepare()
    cells = sweeping.planned(file, request)
    if wrong := [cell for cell in cells if not cell.values]:
        raise InputError(f"{wrong[0].name}: {wrong[0].reason}")
    with until_decided.told_elsewhere(options.json):
        sweeping.run(file, execution.to_run(cells, retry_failed=False), request)
    comparison = from_plan(cells, file, options.metric, None, options.goal)
    seeds = file.parameters["seed"]
    assert isinstance(seeds, list)
    values = results(comparison.baseline, seeds, comparison.sign)
    floors = noise_floor(values, comparison.chance)
    if options.json:
        print(json.dumps(terminal.as_data(comparison, values, floors)))
    else:
        terminal.show(comparison, values, floors)
    return DONE if len(values) == options.seeds else FAILED


def _baseline(file: SweepFile) -> SweepFile:
    """The file with the first value of each parameter, and its seeds."""
    first = {name: list(values)[:1] if isinstance(values, list) else values for name, values in file.parameters.items()}
    seeds = {"seed": file.parameters["seed"]} if "seed" in file.parameters else {}
    return replace(file, parameters=first | seeds)
