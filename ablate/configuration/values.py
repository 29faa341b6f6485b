"""Plain values, as YAML and JSON hold them: found by dotted path, and said as they are typed."""

import json
import math
from collections.abc import Mapping
from typing import Any


def at(values: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The value at a dotted path; `default` where there is none."""
    value: Any = values
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return value


def identity(value: Any) -> str:
    """What two values have in common that are the same: lists and mappings compare by content."""
    return json.dumps(value, sort_keys=True, default=str)


def word(value: Any) -> str:
    """A value as it is typed."""
    return value if isinstance(value, str) else identity(value)


def without_nan(value: Any) -> Any:
    """The value as JSON has it: numbers that are not finite become null, tuples lists, keys words."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
