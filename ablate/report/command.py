"""`python -m ablate report`: from runs to a page, tables and figures."""

import argparse
import json
import re
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path

from ablate.errors import InputError
from ablate.report import page, tables
from ablate.report.contents import Contents, contents
from ablate.study.comparison import Comparison, from_plan, from_results
from ablate.study.goal import GOALS
from ablate.study.pair import pair
from ablate.study.results import find

RUNS = Path("runs")
TEXTS = ("index.html", "comparison.json", "table.md", "table.tex")
MARKER = ".report"  # in the folder of a report: the files that it has made, one a line
_OWN = re.compile(rf"{'|'.join(map(re.escape, TEXTS))}|figures/[^/\\]+\.svg")
# What the drawings of versions without a marker were called.
_DRAWN = re.compile(r"(curve|against|gradients?|interactions?|main_effects|differences|variance)(_|$)")


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
    files = {
        "index.html": page.render(made),
        "comparison.json": json.dumps(tables.as_json(made), indent=1, allow_nan=False) + "\n",
        "table.md": tables.markdown(made),
        "table.tex": tables.latex(made),
        **{f"figures/{name}.svg": str(drawing) for name, drawing in made.figures.items()},
    }
    try:
        before = _made_before(folder)
        if foreign := sorted(name for name in files if name not in before and (folder / name).exists()):
            raise InputError(
                f"--out {folder} holds {', '.join(foreign)}, which no report has made: choose another folder, or move"
                " that away."
            )
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("".join(f"{name}\n" for name in sorted({*before, *files})), encoding="utf-8")
        for name in before - files.keys():
            (folder / name).unlink(missing_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / MARKER).write_text("".join(f"{name}\n" for name in sorted(files)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}).") from error


def _made_before(folder: Path) -> set[str]:
    """The files in `folder` that a report has made: by its marker, or, of an older version, by what they say."""
    if (folder / MARKER).is_file():
        return {name for name in (folder / MARKER).read_text(encoding="utf-8").splitlines() if _OWN.fullmatch(name)}
    try:
        comparison = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(comparison, dict) or "variants" not in comparison:
        return set()
    drawings = [path for path in (folder / "figures").glob("*.svg") if path.read_bytes()[:4] == b"<svg"]
    return {*TEXTS, *(f"figures/{path.name}" for path in drawings if _DRAWN.match(path.stem))}


def _made(options: argparse.Namespace) -> Contents:
    chosen = dict(_pair(typed) for group in options.baseline for typed in group)
    paths = [Path(what) for what in options.what if "=" not in what or Path(what).exists()]
    overrides = [what for what in options.what if Path(what) not in paths]
    files = [path for path in paths if path.is_file() or path.suffix in (".yaml", ".yml")]
    if files:
        if len(paths) > 1 or options.compare:
            raise InputError(f"{files[0]}: a sweep file is reported alone, and --compare takes runs.")
        folder = [f"hydra.searchpath=[file://{options.config_dir.absolute()}]"] if options.config_dir else []
        return contents(_of_file(files[0], [*folder, *overrides], options.metric, chosen, options.goal))
    if overrides:
        raise InputError(f"{overrides[0]}: an override goes with a sweep file; for a baseline say --baseline.")
    results = find(paths or [RUNS])
    source = " ".join(map(str, paths or [RUNS]))
    if options.compare:
        first, second = options.compare
        two = pair(results, first, second, options.metric, options.goal)
        return contents(two.comparison, two)
    return contents(from_results(results, source, options.metric, chosen, options.goal))


def _of_file(
    path: Path, overrides: Sequence[str], metric: str, chosen: Mapping[str, str], goal: str | None
) -> Comparison:
    from ablate.study.sweep import Request, planned
    from ablate.study.sweep_file import SweepFile

    file = SweepFile.read(path)
    return from_plan(planned(file, Request.of(overrides), check_data=False), file, metric, chosen, goal)


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
    return parser
