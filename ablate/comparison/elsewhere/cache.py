"""Answers of servers that do not change, kept on disk."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def kept(kind: str, key: Sequence[str | int], fetch: Callable[[], T]) -> T:
    """What `fetch` gave for this key when it was first asked: a value that JSON has."""
    mark = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    path = folder() / kind / f"{mark}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = fetch()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(found), encoding="utf-8")
        part.replace(path)
    except OSError:  # without room, or a home to write in, it is asked again
        pass
    return found


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ablate"
