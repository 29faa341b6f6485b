"""Compare runs: which choice mattered, and how sure that is. Writes a page, tables and figures.

ablate report sweeps/quick.yaml
ablate report runs --baseline norm=batch
"""

import argparse
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.commands import of_sweep_file
from ablate.comparison import rounds
from ablate.comparison.comparison import Comparison
from ablate.comparison.gathering import from_plan, from_plans, from_results
from ablate.comparison.pair import pair
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.report import tables
from ablate.report.contents import Contents, contents
from ablate.report.folder import write
from ablate.training.goal import GOALS

if TYPE_CHECKING:  # planning takes torch where a cell has no result
    from ablate.sweep.file import SweepFile
    from ablate.sweep.plan import PlannedCell

RUNS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE or RUNS",
        help="sweep files, and what they were run with, or run directories and folders of them (runs)",
    )
    parser.add_argument(
        "--baseline", nargs="+", action="append", default=[], metavar="KEY=VALUE", help="what to compare with"
    )
    parser.add_argument("--metric", default="test/acc", help="what to compare (%(default)s)")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help="the difference up to which two are equivalent, as the report writes it: points of accuracy",
    )
    parser.add_argument("--goal", choices=GOALS, help="which of its values is better, where that is not known")
    parser.add_argument(
        "--out", type=Path, default=Path("report"), metavar="FOLDER", help="where to write (%(default)s)"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="only two of them: runs, or variants such as norm=none"
    )
    parser.add_argument("--config-dir", "-cd", type=Path, help="the folder of your own options that the sweep ran with")
    parser.add_argument("--json", action="store_true", help="print comparison.json instead of the table")
    parser.add_argument("--wandb", action="store_true", help="also publish it as a W&B Report")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> None:
    """Read the runs, and write the page and its companions. Raises InputError."""
    made = _made(options)
    write(made, options.out)
    if options.json:
        print((options.out / "comparison.json").read_text(encoding="utf-8"), end="")
    else:
        tables.show(made, str(options.out / "index.html"))
    if options.wandb:
        from ablate.report import wandb_report

        print("\n".join(wandb_report.publish(made)), file=sys.stderr)
    if options.open:
        webbrowser.open((options.out / "index.html").absolute().as_uri())


def _made(options: argparse.Namespace) -> Contents:
    margin = of_sweep_file.margin(options.margin, options.metric)
    chosen = dict(_pair(typed) for group in options.baseline for typed in group)
    paths = [Path(what) for what in options.what if "=" not in what or Path(what).exists()]
    overrides = [what for what in options.what if Path(what) not in paths]
    files = [path for path in paths if path.is_file() or path.suffix in (".yaml", ".yml")]
    if files:
        if files != paths or options.compare:
            raise InputError(f"{files[0]}: sweep files are reported without folders of runs, and --compare takes runs.")
        folder = of_sweep_file.folder(options.config_dir)
        return contents(_of_files(files, [*folder, *overrides], options.metric, chosen, options.goal, margin))
    if overrides:
        raise InputError(f"{overrides[0]}: an override goes with a sweep file; for a baseline say --baseline.")
    results = find(paths or [RUNS])
    source = " ".join(map(str, paths or [RUNS]))
    if options.compare:
        first, second = options.compare
        two = pair(results, first, second, options.metric, options.goal, margin)
        return contents(two.comparison, two)
    return contents(from_results(results, source, options.metric, chosen, options.goal, margin))


def _of_files(
    paths: Sequence[Path],
    overrides: Sequence[str],
    metric: str,
    chosen: Mapping[str, str],
    goal: str | None,
    margin: float | None,
) -> Comparison:
    from ablate.sweep.execution import Request, planned
    from ablate.sweep.file import SweepFile

    request = Request.of(overrides)
    files = [SweepFile.read(path) for path in paths]
    plans = [(file, planned(file, request, check_data=False)) for file in files]
    if len(files) == 1 and not chosen and (rules := _rules(*plans[0], request.typed)) and rules.metric == metric:
        file = rounds.seeded(files[0], rules.seeds)
        comparison = from_plan(planned(file, request, check_data=False), file, metric, None, rules.goal)
        rounds.by_rounds(comparison, rules)
        return comparison
    return from_plans(plans, metric, chosen, goal, margin)


def _rules(file: "SweepFile", cells: "Sequence[PlannedCell]", typed: Sequence[str]) -> rounds.Declared | None:
    """Those by which the sweep's seeds were added, if they were added in rounds."""
    places = [cell.directory.parent for cell in cells if cell.values]
    return rounds.read(rounds.path_of(places[0], file.name, typed)) if places else None


def _pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals:
        raise InputError(f"--baseline {typed}: key=value is expected, such as norm=batch.")
    return key, value
