"""Runs in a table, one a row: CSV, TSV, Parquet or JSON lines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.comparison.elsewhere import choosing, own_table, rows
from ablate.comparison.elsewhere.foreign import Foreign
from ablate.comparison.elsewhere.rows import Row
from ablate.comparison.elsewhere.source import Asked, Found
from ablate.errors import InputError, nearest
from ablate.training.goal import is_accuracy

SEEDS = ("seed", "random_seed", "rng_seed")
STATUSES = ("status", "state")


def read(names: Sequence[str], asked: Asked) -> Found:
    """The runs of one table. Raises InputError where it cannot be read, or something has to be asked."""
    if len(names) > 1:
        raise InputError(f"{' '.join(names)}: one table at a time is reported.")
    if asked.where:
        raise InputError("--filter is for trackers; the rows of a table are chosen by KEY=VALUE behind its name.")
    path = Path(names[0])
    table, first_line = _read(path)
    if own_table.is_one(table):
        return Found(own_table.results(table, path))
    if table.empty:
        raise InputError(f"{path}: there is no row.")
    seed = _column(table, asked.seed, SEEDS, "--seed", path)
    metric = _metric(table.drop(columns=[seed] if seed else []), asked, path)
    status = _column(table, asked.status, STATUSES, "--status", path)
    candidates = table.drop(columns=[name for name in (metric, seed, status) if name])
    chosen = (
        choosing.named(candidates, asked.factors)
        if asked.factors
        else choosing.guessed(candidates, choosing.tabled, str(path))
    )
    measured = [str(name) for name in table if _is_number(table[name]) and name not in (*chosen.factors, seed, status)]
    kind = "row" if path.suffix == ".parquet" else "line"
    seeds = _seeds(table[seed], path, kind, first_line) if seed else [None] * len(table)
    found = []
    for i, line in enumerate(table.to_dict("records")):
        value = _number(line[metric])
        state, reason = rows.ended(_given(line[status]) if status else None, value, metric)
        choices = {key: line[key] for key in chosen.factors if _given(line[key]) is not None}
        summary = {name: number for name in measured if (number := _number(line[name])) is not None}
        found.append(Row(choices, seeds[i], state, summary, f"{kind} {first_line + i}", reason))
    runs, averaged = rows.runs(found, str(path), asked.average)
    how = [f"How runs ended is in the column {status}."] if status else []
    return paired(runs, replace(asked, metric=metric), [chosen.sentence("column"), *how, *averaged], seed)


def paired(runs: list[Foreign], asked: Asked, said: list[str], seeds: str | None) -> Found:
    """The runs, paired by seed where that was asked for; accuracies in percent become fractions, as reports write them.

    seeds  where the seeds are, None: nowhere

    Raises InputError where runs are to be paired that have no seeds.
    """
    if asked.pair and not seeds:
        raise InputError("--paired: there is no seed by which runs could be paired; --seed names a column.")
    how = f"Seeds are in {seeds}." if seeds else "There are no seeds: the runs of a variant are its repetitions."
    said = [*said, how]
    metric = str(asked.metric)
    values = [value for run in runs if (value := run.record.summary.get(metric)) is not None]
    if is_accuracy(metric) and 1 < max(values, default=0) <= 100:
        runs = [_in_fractions(run, metric) for run in runs]
        said.append(f"{metric} is in percent, so it was divided by 100.")
    return Found(list(runs), asked.metric, asked.pair, asked.chance, [" ".join(said)])


def _in_fractions(run: Foreign, metric: str) -> Foreign:
    summary = run.record.summary
    known = {metric: summary[metric] / 100} if metric in summary else {}
    return replace(run, record=replace(run.record, summary=summary | known))


def _read(path: Path) -> tuple[pd.DataFrame, int]:
    """The table, and the number of the line that its first row stands in."""
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path), 1
        if path.suffix in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True, dtype=False), 1
        # As words, since a reader that guesses takes an option called None or NA for nothing at all.
        comma = "\t" if path.suffix == ".tsv" else ","
        words = pd.read_csv(path, sep=comma, dtype=str, keep_default_na=False, skip_blank_lines=False)
        return words if own_table.is_one(words) else words.apply(typed), 2
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read as a table ({' '.join(str(error).split())}).") from error


def typed(column: pd.Series) -> pd.Series:
    """The column of words as numbers or truth values, where all its words are; an empty word is a missing value."""
    words = column[column != ""]
    if len(words) and words.str.lower().isin(("true", "false")).all():
        return words.str.lower().eq("true").reindex(column.index).astype(object)
    numbers = pd.to_numeric(words, errors="coerce")
    if not len(words) or numbers.isna().any():
        return words.reindex(column.index)
    is_whole = words.str.fullmatch(r"[+-]?\d+").all() and numbers.abs().max() < 2**53
    # Not by to_numeric, which is off by a digit in the last place.
    return words.map(int if is_whole else float).reindex(column.index).astype("Int64" if is_whole else float)


def _metric(table: pd.DataFrame, asked: Asked, path: Path) -> str:
    numbers = [str(name) for name in table if _is_number(table[name])]
    if asked.metric is None:
        raise InputError(f"{path}: which column is compared? Add --metric, one of {', '.join(numbers)}.")
    if asked.metric not in table:
        raise InputError(f"--metric {asked.metric}: {path} has no such column.{nearest(asked.metric, map(str, table))}")
    if not table[asked.metric].map(_number).notna().any():
        raise InputError(f"--metric {asked.metric}: there is no number in this column of {path}.")
    return asked.metric


def _column(table: pd.DataFrame, named: str | None, usual: Sequence[str], flag: str, path: Path) -> str | None:
    """The column that was named, or has a usual name; None where there is none."""
    if named is not None and named not in table:
        raise InputError(f"{flag} {named}: {path} has no such column.{nearest(named, map(str, table))}")
    return named or next((str(name) for name in table if str(name).lower() in usual), None)


def _seeds(column: pd.Series, path: Path, kind: str, first_line: int) -> list[int | None]:
    """Whole numbers; words are numbered in their order."""
    empty = [first_line + i for i, value in enumerate(column) if _given(value) is None]
    if empty:
        raise InputError(f"{path}: {kind} {empty[0]} has no {column.name}.")
    if all(isinstance(value, int) or float(value).is_integer() for value in column if _is_real(value)) and all(
        _is_real(value) for value in column
    ):
        return [int(value) for value in column]
    order = {value: i for i, value in enumerate(sorted(set(column), key=str))}
    return [order[value] for value in column]


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _is_real(value: Any) -> bool:
    return pd.api.types.is_number(value)


def _given(value: Any) -> Any:
    """The value, as Python has it; None where there is none."""
    if isinstance(value, list | dict):
        return value
    return None if pd.isna(value) else value


def _number(value: Any) -> float | None:
    """The value as a number, which may be infinite; None where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return None if pd.isna(found) else found
