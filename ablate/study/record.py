"""run.json: what is known of a run, at any moment of it."""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# A diverged run is a result: its loss stopped being finite.
RESULTS = ("finished", "diverged")


def read(directory: Path) -> dict[str, Any] | None:
    """The record in a run's directory, or None where there is none."""
    try:
        return json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):  # the latter where a disk lost what was written
        return None


def write(directory: Path, record: dict[str, Any]) -> None:
    """Replace the record: readers see the old one or the new one, whole. Numbers that JSON lacks become null."""
    text = json.dumps(_json(record), indent=2, allow_nan=False)
    unfinished = directory / "run.json.tmp"
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(directory / "run.json")


def last_line(record: dict[str, Any] | None) -> str:
    """What a failed run's error says in one line."""
    lines = str((record or {}).get("error", "")).strip().splitlines()
    return lines[-1] if lines else "no reason is on record"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
