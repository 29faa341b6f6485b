"""`python -m ablate report`: from runs to a page, tables and figures."""

import argparse
import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from ablate.errors import InputError
from ablate.report import page, tables
from ablate.report.contents import Contents, contents
from ablate.study.comparison import from_results
from ablate.study.pair import pair
from ablate.study.results import find

RUNS = Path("runs")


def report(arguments: Sequence[str]) -> None:
    """Read the runs, and write report/index.html and its companions. Raises InputError."""
    options = _parser().parse_args(arguments)
    made = _made(options)
    write(made, options.out)
    if options.json:
        print((options.out / "comparison.json").read_text(), end="")
    else:
        tables.show(made, str(options.out / "index.html"))
    if options.open:
        webbrowser.open((options.out / "index.html").absolute().as_uri())


def write(made: Contents, folder: Path) -> None:
    """index.html, comparison.json, table.md, table.tex and figures/*.svg; figures of an earlier report go."""
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for old in (folder / "figures").glob("*.svg"):
            old.unlink()
        (folder / "index.html").write_text(page.render(made))
        (folder / "comparison.json").write_text(json.dumps(tables.as_json(made), indent=1, allow_nan=False) + "\n")
        (folder / "table.md").write_text(tables.markdown(made))
        (folder / "table.tex").write_text(tables.latex(made))
        for name, drawing in made.figures.items():
            (folder / "figures" / f"{name}.svg").write_text(str(drawing))
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}).") from error


def _made(options: argparse.Namespace) -> Contents:
    chosen = dict(_pair(typed) for group in options.baseline for typed in group)
    paths = [Path(what) for what in options.what] or [RUNS]
    source = " ".join(map(str, paths))
    results = find(paths)
    if options.compare:
        first, second = options.compare
        two = pair(results, first, second, options.metric)
        return contents(two.comparison, two)
    return contents(from_results(results, source, options.metric, chosen))


def _pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals:
        raise InputError(f"--baseline {typed}: key=value is expected, such as norm=batch.")
    return key, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ablate report", description="Which choice mattered, and how sure are we.")
    parser.add_argument(
        "what", nargs="*", metavar="FILE or RUNS", help="a sweep file, or run directories and folders of them (runs)"
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
    parser.add_argument("--json", action="store_true", help="print comparison.json instead of the table")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser
