"""Calls with equal parts, made once."""

import json
from collections.abc import Callable
from typing import Any

from ablate.errors import InputError


class Once:
    """Remembers what calls returned, or the InputError that they raised, for cells that share what is looked at."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __call__(self, what: str, parts: Any, find: Callable[[], Any]) -> Any:
        """`find()`, called once for the same `what` and `parts`, which are plain values. Later calls return its value,
        or raise its InputError, again."""
        key = what + json.dumps(parts)
        if key not in self._known:
            try:
                self._known[key] = find()
            except InputError as error:
                self._known[key] = error
        if isinstance(self._known[key], InputError):
            raise self._known[key]
        return self._known[key]
