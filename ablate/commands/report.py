"""Compare runs: which choice mattered, and how sure that is. Writes a page, tables and figures.

ablate report sweeps/quick.yaml
ablate report runs --baseline norm=batch
ablate report results.csv --metric test_acc --paired
"""

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ablate.api.comparing import compare, in_its_units
from ablate.commands.words import elsewhere
from ablate.comparison.beside import matching
from ablate.comparison.elsewhere import sources
from ablate.comparison.gathering import usual
from ablate.comparison.pair import pair
from ablate.errors import InputError
from ablate.report import latex, tables
from ablate.report.contents import Contents, contents
from ablate.report.folder import write
from ablate.report.latex import Paper
from ablate.training.goal import GOALS, goal_by_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE or RUNS",
        help="sweep files, and the overrides they were run with; or run directories and folders of them (runs), a table"
        " (.csv .tsv .parquet .jsonl), wandb:ENTITY/PROJECT[/SWEEP], mlflow:FOLDER or tensorboard:FOLDER, and key=value"
        " to select runs",
    )
    parser.add_argument(
        "--baseline", nargs="+", action="append", default=[], metavar="KEY=VALUE", help="what to compare with"
    )
    parser.add_argument("--metric", help="the metric to compare (test/acc, or test/loss if there is no accuracy)")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="X",
        help="differences up to X count as equivalent, in the report's unit: points of accuracy",
    )
    parser.add_argument(
        "--goal", choices=GOALS, help="whether more or less of the metric is better, if that is not known"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report"), metavar="FOLDER", help="where to write (%(default)s)"
    )
    parser.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="compare only these two: runs, or variants such as norm=none"
    )
    parser.add_argument(
        "--config-dir", "-cd", type=Path, help="the folder with your own option files, if the sweep ran with it"
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        choices=latex.COLUMNS,
        metavar="COLUMN",
        help=f"of table.tex: {' '.join(latex.COLUMNS)} ({' '.join(latex.USUAL)})",
    )
    parser.add_argument("--pivot", metavar="KEY", help="of table.tex: this choice's values side by side, such as data")
    elsewhere.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print comparison.json instead of the table")
    parser.add_argument("--pdf", action="store_true", help="also write the figures as PDF, for papers")
    parser.add_argument("--wandb", action="store_true", help="also publish it as a W&B Report")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> None:
    """Read the runs, and write the page, tables and figures. Raises InputError."""
    made = _made(options)
    write(made, options.out, Paper(options.columns or latex.USUAL, options.pivot), as_pdf=options.pdf)
    if options.json:
        print((options.out / "comparison.json").read_text(encoding="utf-8"), end="")
    else:
        tables.show(made, str(options.out / "index.html"))
    if options.wandb:
        from ablate.report.wandb_views import report

        print("\n".join(report.publish(made)), file=sys.stderr)
    if options.open:
        webbrowser.open((options.out / "index.html").absolute().as_uri())


def _made(options: argparse.Namespace) -> Contents:
    chosen = dict(_pair(typed) for group in options.baseline for typed in group)
    names, overrides = elsewhere.parted(options.what)
    if options.compare:
        return _of_two(names, overrides, options)
    report = compare(
        names,
        metric=options.metric,
        goal=options.goal,
        baseline=chosen,
        overrides=overrides,
        config_dir=options.config_dir,
        margin=options.margin,
        asked=elsewhere.asked(options),
    )
    return report.contents


def _of_two(names: Sequence[str], overrides: Sequence[str], options: argparse.Namespace) -> Contents:
    for name in names:
        if not Path(name).is_dir() and not sources.is_elsewhere(name):
            raise InputError(f"{name}: --compare takes folders of runs, not a sweep file.")
    found = sources.read(names, elsewhere.asked(options))
    results, (first, second) = matching(found.results, overrides), options.compare
    source = " ".join([*names, *overrides])
    metric = options.metric or usual([result.record for result in results])
    goal = options.goal if found.metric is None else goal_by_name(metric, options.goal)
    two = pair(results, first, second, metric, goal, in_its_units(options.margin, metric), source, found.is_paired)
    two.comparison.besides += found.said
    return contents(two.comparison, two)


def _pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals:
        raise InputError(f"--baseline {typed}: key=value is expected, such as norm=batch.")
    return key, value
