"""Judge a candidate against a baseline: better, equivalent, worse or undecided, with as many seeds as needed.

ablate judge "" "norm=none" --margin 0.5
ablate judge "optimizer.lr=0.1" runs/07c0e2a1b3d4 --margin 0.3 model=resnet20

Exit codes: 0 better, 3 equivalent, 4 worse, 5 undecided; 1 if a run failed, 2 if the input is wrong.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from ablate.commands import until_decided
from ablate.commands.words import rounds as words
from ablate.comparison.comparison import Comparison
from ablate.comparison.gathering import from_plan
from ablate.comparison.looking import judgements, rounds
from ablate.comparison.looking.rounds import Declared, Progress
from ablate.configuration import agent, place
from ablate.configuration.overrides import folder
from ablate.configuration.variant import NAME, choices
from ablate.errors import InputError
from ablate.process.exit_codes import FAILED
from ablate.report.terminal import rounds_view
from ablate.runs import record
from ablate.runs.origin import Here
from ablate.statistics import judgement
from ablate.statistics import rounds as statistics
from ablate.statistics.rounds import Decision
from ablate.sweep import execution
from ablate.sweep.execution import Request
from ablate.sweep.file import SweepFile

CODES = {
    statistics.BETTER: 0,
    judgement.EQUIVALENT: 3,
    statistics.WORSE: 4,
    statistics.DIVERGED: 4,
    statistics.GIVEN_UP: 5,
    judgement.UNDECIDED: 5,
}
EPILOG = """\
BASELINE and CANDIDATE are overrides in quotes ("" stands for the defaults), or a run's folder, whose overrides are
used. All candidates that you judge against the same baseline in a runs_dir share the error rate of 5%: the ledger in
runs_dir/.rounds/ gives each one its level, so that the hundredth is not called better by luck.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    for name in ("baseline", "candidate"):
        parser.add_argument(name, metavar=name.upper(), help="overrides in quotes, or a run's folder")
    parser.add_argument(
        "overrides", metavar="OVERRIDE", nargs="*", default=[], help="any number of overrides, for both sides"
    )
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="a folder with option files of your own")
    parser.add_argument("--retry-failed", action="store_true", help="run failed runs again")
    parser.add_argument(
        "--rerun-outdated", action="store_true", help="train again the runs whose code or data have changed"
    )
    parser.add_argument("--json", action="store_true", help="print the judgement as JSON")
    words.add_rules(parser)
    words.add_new_rules(parser)


def run(options: argparse.Namespace) -> int:
    """Run what is needed, and print the judgement. Returns the exit code."""
    agent.wandb_mode()
    request = Request.of([*folder(options.config_dir), *options.overrides])
    looks = until_decided.looks_of(options)
    sides = [_overrides(typed) for typed in (options.baseline, options.candidate)]
    file = until_decided.with_seeds(_file(sides), request, looks)
    cells = execution.planned(file, request, check_data=not request.elsewhere, here=Here())
    if wrong := [cell for cell in cells if cell.reason and not cell.values]:
        raise InputError(f"{wrong[0].name}: {wrong[0].reason}")
    comparison = from_plan(cells, file, options.metric, None, options.goal)
    seeds = tuple(file.parameters["seed"])
    family = rounds.family(comparison, seeds[0])
    if not family:
        raise InputError("BASELINE and CANDIDATE are the same configuration: there is nothing to judge.")
    (candidate,) = family
    (baseline,) = set(rounds.by_name(comparison, seeds[0])) - {candidate}
    runs_dir = next(cell.directory.parent for cell in cells if cell.values)
    place.make(runs_dir)
    ledger = judgements.path_of(runs_dir, baseline)
    entry = judgements.entered(ledger, candidate, options.candidate)
    wanted = until_decided.declared(options, looks, seeds, comparison.goal, family, entry.level)
    path = runs_dir / rounds.FOLDER / f"judge-{baseline}-{candidate}.json"
    with until_decided.told_elsewhere(options.json):
        made, stands, rules = until_decided.go(cells, file, request, path, wanted, options)
    decision = stands.decisions.get(candidate)
    if decision:
        judgements.close(ledger, candidate, decision.outcome)
    if options.json:
        print(json.dumps(_as_json(made, decision, rules, ledger), indent=1))
    else:
        _show(made, stands, rules, ledger, candidate)
    return CODES[decision.outcome] if decision else FAILED


def _show(made: Comparison, stands: Progress, rules: Declared, ledger: Path, candidate: str) -> None:
    rounds_view.show(made, stands, rules, [])
    known = judgements.read(ledger)
    number = next(i for i, entry in enumerate(known, 1) if entry.candidate == candidate)
    of_all = f"candidate {number} of {len(known)} against this baseline; its level is {rules.level:.2g} of the 5%"
    decision = stands.decisions.get(candidate)
    print(f"{decision.outcome if decision else 'no judgement yet'}: {of_all}.")


def _as_json(made: Comparison, decision: Decision | None, rules: Declared, ledger: Path) -> dict[str, Any]:
    variant = next(variant for variant in made.variants if not variant.is_baseline)
    difference = variant.difference
    return {
        "outcome": decision.outcome if decision else None,
        "seeds": rules.looks[decision.look] if decision else None,
        "difference": difference.mean if difference else None,
        "interval": difference.interval if difference else None,
        "p": decision.test.p if decision else None,
        "bound": decision.bound if decision else None,
        "level": rules.level,
        "metric": rules.metric,
        "margin": rules.margin,
        "ledger": str(ledger),
    }


def _overrides(typed: str) -> str:
    """The overrides that a side stands for. Raises InputError."""
    run = Path(typed)
    if typed and (run / "run.json").is_file():
        known = record.read(run)
        if known is None:
            raise InputError(f"{run} has no readable run.json.")
        return " ".join(text for text in known.overrides if text.split("=")[0] not in ("seed", "rerun"))
    choices(typed)  # raises if it is not a set of overrides
    return typed


def _file(sides: list[str]) -> SweepFile:
    """A sweep file with the two sides as variants."""
    return SweepFile(Path("judge"), "judge", "", "grid", None, {NAME: sides, "seed": [0]}, None)
