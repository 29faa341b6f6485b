"""Plain values, as in YAML and JSON: looked up by dotted path, compared, and written as text."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_MISSING = object()


def at(values: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The value at a dotted path; `default` if there is none."""
    value: Any = values
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return value


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path, whose parents are there. Changes `values` in place."""
    *parents, key = path.split(".")
    for parent in parents:
        values = values[parent]
    values[key] = value


def differing(
    values: Mapping[str, Any], others: Mapping[str, Any], ignored: Iterable[str], parent: str = ""
) -> Iterator[str]:
    """The dotted paths, below `parent`, at which `values` are not `others`; `ignored` paths and what is below them are
    left out."""
    for key, value in values.items():
        path = f"{parent}{key}"
        other = others.get(key, _MISSING)
        if is_inside(path, ignored):
            continue
        if isinstance(value, dict) and value and isinstance(other, dict):
            yield from differing(value, other, ignored, f"{path}.")
        elif value != other:
            yield path


def is_inside(path: str, parents: Iterable[str]) -> bool:
    """Whether the path is one of `parents` or below one of them."""
    return any(path == parent or path.startswith(f"{parent}.") for parent in parents)


def identity(value: Any) -> str:
    """A text that is the same for equal values. Use it as a key: lists and mappings cannot be hashed."""
    return json.dumps(value, sort_keys=True, default=str)


def word(value: Any) -> str:
    """A value as you type it: a string without quotes, anything else as JSON."""
    return value if isinstance(value, str) else identity(value)


def without_nan(value: Any) -> Any:
    """The value in JSON's types: NaN and infinity become null, tuples become lists, keys become strings."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
