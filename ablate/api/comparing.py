"""Runs compared: a table, figures and the page of a report, in a notebook or a folder."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.comparison import values
from ablate.comparison.beside import groups, left_out, matching, pilots, stored_otherwise
from ablate.comparison.comparison import Comparison
from ablate.comparison.elsewhere import sources
from ablate.comparison.elsewhere.source import Asked
from ablate.comparison.gathering import from_plans, from_results, usual
from ablate.comparison.looking import rounds
from ablate.comparison.results import Result, read
from ablate.configuration.overrides import folder
from ablate.errors import InputError
from ablate.report import page
from ablate.report.contents import Contents, contents
from ablate.report.folder import write
from ablate.report.numbers import unit
from ablate.training.goal import goal_by_name

if TYPE_CHECKING:
    import pandas as pd

    from ablate.sweep.file import SweepFile
    from ablate.sweep.plan import PlannedCell

_COLUMNS = ("label", "n", "mean", "difference", "p", "verdict", "params", "macs", "seconds")
HEIGHT = 640  # pixels of a page in a notebook


class Report:
    """A comparison as a report shows it; as a notebook's last line, with table and figures.

    - comparison: everything that it says
    - contents: what is shown of it
    """

    def __init__(self, made: Contents) -> None:
        self.contents, self.comparison = made, made.comparison

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each variant, the baseline first: label, n (finished runs), mean of the metric, difference to the
        baseline, p (after Holm's correction), verdict, params, macs and seconds. What cannot be had is NaN."""
        import pandas as pd

        def number(value: Any) -> Any:  # with it stands how it is written
            return value[0] if isinstance(value, tuple) else value

        rows = [[number(row[name]) for name in _COLUMNS] for row in self.contents.rows]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def write(self, out: str | Path, pdf: bool = False) -> Path:
        """index.html, comparison.json, table.md, table.tex and figures/ in the folder `out`, the figures as SVG and,
        where asked, as PDF. Returns the page."""
        write(self.contents, Path(out), as_pdf=pdf)
        return Path(out) / "index.html"

    def __repr__(self) -> str:
        return "\n".join(self.contents.answer)

    def _repr_html_(self) -> str:
        # The page has styles and a script of its own, which a frame keeps to itself.
        whole = html.escape(page.render(self.contents), quote=True)
        return f'<iframe srcdoc="{whole}" style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'


def compare(
    source: str | Path | Sequence[str | Path] = "runs",
    *,
    metric: str | None = None,
    goal: str | None = None,
    baseline: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    config_dir: str | Path | None = None,
    margin: float | None = None,
    asked: Asked | None = None,
) -> Report:
    """Compare runs, as `python -m ablate report` does.

        report = ablate.compare("runs", metric="val/acc", baseline={"norm": "batch"})
        report.table

    - source: sweep files, which are one study; directories of runs and folders of them; a report's comparison.json,
      whose values are judged again; or runs from elsewhere: a table such as results.csv, wandb:ENTITY/PROJECT,
      mlflow:FOLDER, tensorboard:FOLDER
    - metric: test/acc, or test/loss where no accuracy is measured
    - goal: maximize or minimize, where that is not known of the metric
    - baseline: its values, where it is not the defaults, or the file's first ones
    - margin: the difference up to which two are equivalent, as the report writes it: points of accuracy
    - overrides, config_dir: of sweep files, what they were run with; of runs, KEY=VALUE of those that are meant
    - asked: of runs from elsewhere, where their choices and seeds are: `ablate.Asked(seed="seed", pair=True)`

    Raises InputError where there is nothing to compare.
    """
    names = [str(name) for name in ([source] if isinstance(source, str | Path) else source)]
    chosen = dict(baseline or {})
    if len(names) == 1 and names[0].endswith(".json"):
        stored = Path(names[0])
        comparison = values.read(stored)
        _check_stored(comparison, stored, {"metric": metric, "goal": goal}, chosen, overrides)
        if margin is not None:
            comparison = values.read(stored, in_its_units(margin, comparison.metric))
        return Report(contents(comparison, drawn_before=stored.parent / "figures"))
    files = sweep_files(names)
    if files:
        from ablate.configuration.refusals.wording import explaining

        with explaining():
            typed = [*folder(Path(config_dir) if config_dir else None), *overrides]
            return Report(contents(_of_files(files, typed, metric, chosen, goal, margin)))
    found = sources.read(names, replace(asked or Asked(), metric=metric))
    group, *others = groups(matching(found.results, overrides), besides=chosen)
    metric = metric or found.metric or usual([result.record for result in group.results])
    typed_too = " ".join([*names, *overrides])
    compared = from_results(
        group.results,
        typed_too,
        metric,
        chosen,
        goal if found.metric is None else goal_by_name(metric, goal),
        in_its_units(margin, metric),
        found.is_paired,
        found.chance,
    )
    compared.besides += [*found.said, *left_out(group, others, typed_too), *pilots(compared, typed_too)]
    return Report(contents(compared))


def stored(
    source: Sequence[str],
    overrides: Sequence[str] = (),
    config_dir: str | Path | None = None,
    asked: Asked | None = None,
) -> list[Result]:
    """The runs that `compare` would compare, each on its own: of sweep files those that have been run. Raises
    InputError where there is none."""
    files = sweep_files(source)
    if not files:
        return matching(sources.read(source, asked or Asked()).results, overrides)
    typed = [*folder(Path(config_dir) if config_dir else None), *overrides]
    cells = {cell.directory: cell for _, cells in _planned(files, typed) for cell in cells if cell.record}
    found = [result for cell in cells.values() if (result := read(cell.directory, cell.record))]
    if not found:
        raise InputError(f"{' '.join(map(str, files))}: no cell has been run.")
    return found


def sweep_files(names: Sequence[str]) -> list[Path]:
    """Those that are sweep files. Raises InputError where folders of runs are between them."""
    files = [Path(name) for name in names if not sources.is_elsewhere(name)]
    files = [path for path in files if path.is_file() or path.suffix in (".yaml", ".yml")]
    if files and len(files) < len(names):
        raise InputError(f"{files[0]}: sweep files are reported without folders of runs.")
    return files


def in_its_units(margin: float | None, metric: str) -> float | None:
    """A margin as reports write it, in the metric's own units. Raises InputError for one that is none."""
    if margin is None:
        return None
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(f"--margin {margin}: a number above 0 is expected, such as 0.5 points of accuracy.")
    return margin / unit(metric).factor


def _check_stored(
    comparison: Comparison,
    path: Path,
    flags: Mapping[str, str | None],
    chosen: Mapping[str, str],
    overrides: Sequence[str],
) -> None:
    """Raise InputError for what a stored comparison cannot answer: it has the values of one metric, and the figures
    that were drawn of its runs."""
    own = {"metric": comparison.metric, "goal": comparison.goal}
    asked = [f"--{name} {given}" for name, given in flags.items() if given not in (None, own[name])]
    asked += [f"--baseline {key}={value}" for key, value in chosen.items()]
    if asked := [*asked, *overrides]:
        raise InputError(
            f"{asked[0]}: {path} holds the values of {comparison.metric}, compared with one baseline, and nothing else"
            f" of its runs. Report the runs themselves, there: {comparison.source}."
        )


def _of_files(
    paths: Sequence[Path],
    overrides: Sequence[str],
    metric: str | None,
    chosen: Mapping[str, str],
    goal: str | None,
    margin: float | None,
) -> Comparison:
    from ablate.report.terminal.plan_table import absent_metric
    from ablate.sweep.execution import Request, planned

    request = Request.of(overrides)
    plans = _planned(paths, overrides)
    files = [file for file, _ in plans]
    asked, metric = metric, metric or usual([cell.record for _, cells in plans for cell in cells if cell.record])
    if len(files) == 1 and not chosen and (rules := _rules(*plans[0], request.typed)) and rules.metric == metric:
        file = rounds.seeded(files[0], rules.seeds)
        comparison = from_plans([(file, planned(file, request, check_data=False))], metric, None, rules.goal)
        rounds.by_rounds(comparison, rules)
        return comparison
    compared = from_plans(plans, metric, chosen, goal, in_its_units(margin, metric))
    from ablate.sweep import twins

    for file, cells in plans:
        compared.besides += filter(None, [twins.line(cells)])
        compared.besides += [*stored_otherwise(cells, file.path, overrides), *absent_metric(file, cells)]
        if asked is None and file.metric_name not in (None, metric):
            compared.besides.append(
                f"{file.path} names {file.metric_name}, by which a tuner would choose; reports compare {metric} unless"
                f" you type --metric {file.metric_name}."
            )
    return compared


def _planned(paths: Sequence[Path], overrides: Sequence[str]) -> list[tuple["SweepFile", "list[PlannedCell]"]]:
    from ablate.configuration.resolvers import register_resolvers
    from ablate.sweep.execution import Request, planned
    from ablate.sweep.file import SweepFile

    register_resolvers()
    files = [SweepFile.read(path) for path in paths]
    return [(file, list(planned(file, Request.of(overrides), check_data=False))) for file in files]


def _rules(file: "SweepFile", cells: "Sequence[PlannedCell]", typed: Sequence[str]) -> rounds.Declared | None:
    """Those by which the sweep's seeds were added, if they were added in rounds."""
    places = [cell.directory.parent for cell in cells if cell.values]
    return rounds.read(rounds.path_of(places[0], file.name, typed)) if places else None
