"""`python -m ablate report`: from runs to a page, tables and figures."""

import argparse
import json
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.errors import InputError
from ablate.report import page, tables
from ablate.report.contents import Contents, contents
from ablate.study.comparison import Comparison, from_plan, from_results
from ablate.study.pair import pair
from ablate.study.results import find

RUNS = Path("runs")


def report(arguments: Sequence[str]) -> None:
    """Read the runs, and write report/index.html and its companions. Raises InputError."""
    options = _parser().parse_intermixed_args(arguments)
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


def write(made: Contents, folder: Path) -> None:
    """index.html, comparison.json, table.md, table.tex and figures/*.svg; figures of an earlier report go."""
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for old in (folder / "figures").glob("*.svg"):
            old.unlink()
        (folder / "index.html").write_text(page.render(made), encoding="utf-8")
        (folder / "comparison.json").write_text(
            json.dumps(tables.as_json(made), indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        (folder / "table.md").write_text(tables.markdown(made), encoding="utf-8")
        (folder / "table.tex").write_text(tables.latex(made), encoding="utf-8")
        for name, drawing in made.figures.items():
            (folder / "figures" / f"{name}.svg").write_text(str(drawing), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}).") from error


def _made(options: argparse.Namespace) -> Contents:
    chosen = dict(_pair(typed) for group in options.baseline for typed in group)
    overrides = [what for what in options.what if "=" in what]
    paths = [Path(what) for what in options.what if "=" not in what]
    files = [path for path in paths if path.is_file() or path.suffix in (".yaml", ".yml")]
    if files:
        if len(paths) > 1 or options.compare:
            raise InputError(f"{files[0]}: a sweep file is reported alone, and --compare takes runs.")
        folder = [f"hydra.searchpath=[file://{options.config_dir.absolute()}]"] if options.config_dir else []
        return contents(_of_file(files[0], [*folder, *overrides], options.metric, chosen))
    if overrides:
        raise InputError(f"{overrides[0]}: an override goes with a sweep file; for a baseline say --baseline.")
    results = find(paths or [RUNS])
    source = " ".join(map(str, paths or [RUNS]))
    if options.compare:
        first, second = options.compare
        two = pair(results, first, second, options.metric)
        return contents(two.comparison, two)
    return contents(from_results(results, source, options.metric, chosen))


def _of_file(path: Path, overrides: Sequence[str], metric: str, chosen: Mapping[str, str]) -> Comparison:
    from ablate.study.sweep import Request, planned
    from ablate.study.sweep_file import SweepFile

    file = SweepFile.read(path)
    return from_plan(planned(file, Request.of(overrides), check_data=False), file, metric, chosen)


def _pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals:
        raise InputError(f"--baseline {typed}: key=value is expected, such as norm=batch.")
    return key, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ablate report", description="Which choice mattered, and how sure are we.")
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE or RUNS",
        help="a sweep file, and what it was run with, or run directories and folders of them (runs)",
    )
    parser.add_argument(
        "--baseline", nargs="+", action="append", default=[], metavar="KEY=VALUE", help="what to compare with"
    )
    parser.add_argument("--metric", default="test/acc", help="what to compare (%(default)s)")
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
    return parser
