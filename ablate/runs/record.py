"""run.json: what is known of a run, at any moment of it."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.training.saving.staging import Staging

# A diverged run is a result: its loss stopped being finite.
RESULTS = ("finished", "diverged")


def read(directory: Path) -> dict[str, Any] | None:
    """The record in a run's directory, or None where there is none that can be understood: a disk may have lost what
    was written."""
    try:
        found = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        return None
    if found.get("gradient_flow") == "healthy":  # what older versions called it
        found["gradient_flow"] = "even"
    return found


def metrics(record: dict[str, Any]) -> dict[str, Any]:
    """The summary, and what the run cost as cost/params, cost/macs and cost/seconds."""
    return record["summary"] | {f"cost/{name}": number for name, number in record["cost"].items()}


def write(directory: Path, record: dict[str, Any], staging: Staging | None = None) -> None:
    """Replace the record: readers see the old one or the new one, whole. Numbers that JSON lacks become null.

    staging  of the holder of the claim; None where nobody else can be at the run
    """
    text = json.dumps(_json(record), indent=2, allow_nan=False)
    (staging or Staging(directory)).replace(
        directory / "run.json", lambda path: path.write_text(text + "\n", encoding="utf-8")
    )


def ended(record: dict[str, Any] | None) -> tuple[Any, Any]:
    """What tells one training of a cell from another."""
    return (record or {}).get("started"), (record or {}).get("ended")


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
