"""Compare runs: which choice mattered, and how sure that is. Writes a page, tables and figures.

ablate report sweeps/quick.yaml
ablate report runs --baseline norm=batch
"""

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ablate.api.comparing import compare, in_its_units
from ablate.comparison.beside import matching
from ablate.comparison.gathering import usual
from ablate.comparison.pair import pair
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.report import tables
from ablate.report.contents import Contents, contents
from ablate.report.folder import write
from ablate.training.goal import GOALS

RUNS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE or RUNS",
        help="sweep files, and what they were run with; or run directories and folders of them (runs), and key=value of"
        " which runs are meant",
    )
    parser.add_argument(
        "--baseline", nargs="+", action="append", default=[], metavar="KEY=VALUE", help="what to compare with"
    )
    parser.add_argument("--metric", help="what to compare (test/acc, or test/loss where no accuracy is measured)")
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
    parser.add_argument("--pdf", action="store_true", help="write the figures as PDF too, for papers")
    parser.add_argument("--wandb", action="store_true", help="also publish it as a W&B Report")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> None:
    """Read the runs, and write the page and its companions. Raises InputError."""
    made = _made(options)
    write(made, options.out, as_pdf=options.pdf)
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
    chosen = dict(_pair(typed) for group in options.baseline for typed in group)
    paths = [Path(what) for what in options.what if "=" not in what or Path(what).exists()]
    overrides = [what for what in options.what if Path(what) not in paths]
    if options.compare:
        return _of_two(paths or [RUNS], overrides, options)
    report = compare(
        paths or [RUNS],
        metric=options.metric,
        goal=options.goal,
        baseline=chosen,
        overrides=overrides,
        config_dir=options.config_dir,
        margin=options.margin,
    )
    return report.contents


def _of_two(paths: Sequence[Path], overrides: Sequence[str], options: argparse.Namespace) -> Contents:
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path}: --compare takes runs: directories of them, and no sweep file.")
    results, (first, second) = matching(find(paths), overrides), options.compare
    source = " ".join(map(str, [*paths, *overrides]))
    metric = options.metric or usual([result.record for result in results])
    two = pair(results, first, second, metric, options.goal, in_its_units(options.margin, metric), source)
    return contents(two.comparison, two)


def _pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals:
        raise InputError(f"--baseline {typed}: key=value is expected, such as norm=batch.")
    return key, value
