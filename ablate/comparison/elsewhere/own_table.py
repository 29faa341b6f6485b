"""A table of this tool's runs, one a row: written for pandas and spreadsheets, and read back as the same runs.

fingerprint, status, seed    and whatever else a record has
choices.AXIS, choices.KEY    the option of every axis, and every value that was typed for some run
test/acc …                   every metric, by its name
cost.*, provenance.*         what a run cost, and under what it came about
config                       the resolved configuration but for the seed, as JSON
directory                    where its history lies

Words stand as they are, other values as JSON; so does a word that would be read as something else, such as "1.0".
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.comparison.elsewhere.foreign import Foreign
from ablate.comparison.results import Result, at
from ablate.configuration.values import at as value_at
from ablate.errors import InputError
from ablate.runs.record import RunRecord

_OWN = {"fingerprint", "overrides", "config"}  # which no other table has
_MAPPINGS = ("choices", "cost", "provenance", "wandb")
_TRUTH = {"True": True, "False": False}  # as pandas writes them
_DEEPER = ("git", "hardware", "packages")  # of the provenance: with a column for each of their values


def frame(results: Sequence[Result]) -> pd.DataFrame:
    """One row a run, in their order."""
    keys = dict.fromkeys(key for result in results for key in result.typed)
    rows = [_foreign(result) if isinstance(result, Foreign) else _own(result, keys) for result in results]
    columns = dict.fromkeys(column for row in rows for column in row)
    table = pd.DataFrame(rows, columns=list(columns), dtype=object)
    return table.apply(_of_one_kind)


def _of_one_kind(column: pd.Series) -> pd.Series:
    """The column as Parquet takes it: values of several kinds as words."""
    kinds = {type(value) for value in column.dropna()}
    if not kinds or kinds == {str}:
        return column
    if kinds == {bool}:
        return column.astype("boolean")
    if kinds <= {int, float}:
        return column.astype(float if float in kinds else "Int64")
    return column.map(_cell, na_action="ignore")


def is_one(table: pd.DataFrame) -> bool:
    return set(table) >= _OWN


def results(table: pd.DataFrame, path: Path) -> list[Result]:
    """The runs of such a table. Raises InputError where a row is not one."""
    found = []
    for number, row in enumerate(table.to_dict("records"), 1):
        try:
            found.append(_result({str(key): given for key, given in row.items()}))
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"{path}: row {number} is no run of this tool's ({error}).") from error
    return found


def _own(result: Result, keys: Mapping[str, Any]) -> dict[str, Any]:
    known = result.record.as_json()
    summary = known.pop("summary")
    choices = known.pop("choices") | {key: result.value(key) for key in keys if result.has(key)}
    row = {name: known.pop(name) for name in ("fingerprint", "name", "status", "seed")}
    row |= {f"choices.{key}": value for key, value in choices.items()}
    row |= summary
    nested = {name: known.pop(name) for name in _MAPPINGS[1:]}
    row |= {f"cost.{key}": value for key, value in nested["cost"].items()}
    row |= known
    row |= {f"wandb.{key}": value for key, value in nested["wandb"].items()}
    for key, value in nested["provenance"].items():
        inner = value if key in _DEEPER and isinstance(value, dict) else {}
        row |= {f"provenance.{key}.{name}": item for name, item in inner.items()} or {f"provenance.{key}": value}
    row["directory"] = result.place
    cells = {key: _cell(value) if isinstance(value, str | list | dict) else value for key, value in row.items()}
    return cells | {"config": json.dumps(result.config)}


def _foreign(result: Foreign) -> dict[str, Any]:
    known = result.record
    row = {key: _cell(value) if isinstance(value, list | dict) else value for key, value in known.choices.items()}
    return row | {"seed": known.seed, "status": known.status} | known.summary | known.cost | {"from": result.place}


def _cell(value: Any) -> str:
    """A value as a word, from which `_value` makes it again."""
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _value(value) == value else json.dumps(value)


def _value(given: Any) -> Any:
    """What a cell stands for; None where it is empty."""
    if isinstance(given, list | dict):
        return given
    if not isinstance(given, str):
        return None if pd.isna(given) else getattr(given, "item", lambda: given)()
    if given in _TRUTH:
        return _TRUTH[given]
    try:
        return json.loads(given) if given else None
    except ValueError:
        return given


@lru_cache  # one for all seeds
def _configuration(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("config is no mapping")
    return found


def _result(cells: dict[str, Any]) -> Result:
    config = _configuration(cells.pop("config"))
    row = {key: value for key, given in cells.items() if (value := _value(given)) is not None}
    directory = row.pop("directory", None)
    parts: dict[str, dict[str, Any]] = {name: {} for name in _MAPPINGS}
    found: dict[str, Any] = {"summary": {}}
    fields = RunRecord.kinds()
    for column, value in row.items():
        kind, _, key = column.partition(".")
        if kind in parts and key:
            parts[kind][key] = value
        elif column in fields:
            found[column] = value
        else:
            found["summary"][column] = value
    for name in _DEEPER:
        inner = {key: value for key, value in parts["provenance"].items() if key.startswith(f"{name}.")}
        for key in inner:
            del parts["provenance"][key]
        known = {key.partition(".")[2]: value for key, value in inner.items()}
        parts["provenance"] |= {name: known} if known else {}
    # A column of a value that was typed is no option of an axis: the configuration has it.
    parts["choices"] = {key: option for key, option in parts["choices"].items() if not _is_value(config, key)}
    record = RunRecord.of({**found, **parts})
    if record.lacking:
        raise ValueError(f"it lacks {', '.join(record.lacking)}")
    return Result(Path(directory) if directory else None, record, config)


def _is_value(config: Mapping[str, Any], key: str) -> bool:
    nothing = object()
    return not isinstance(value_at(config, key, nothing), dict) and (
        value_at(config, key, nothing) is not nothing or at(dict(config), key) is not None
    )
