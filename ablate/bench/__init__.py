"""Measures what the harness costs on this machine: one module for each comparison.

A module's `compare(overrides, rounds)` yields rows, each as soon as it is measured. Rows made by `paired.row` have the
same keys. Those of other modules have columns of their own, under the module's TITLE.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TextIO

# The comparisons in the order in which they run, with the minutes that one takes on two idle cores.
MINUTES: dict[str, float] = {
    "harness": 1.5,
    "recipe": 1,
    "data": 0.5,
    "memory": 1,
    "flops": 0.5,
    "large_images": 1.5,
    "sweep": 4,
    "gradients": 4,
    "scale": 4,
}
NAMES = tuple(MINUTES)
BY_DEFAULT = ("harness", "recipe", "data", "memory", "flops")
NOT_SHOWN = ("rounds", "unit")  # what only --json has


def show(overrides: Sequence[str], chosen: Sequence[str], rounds: int | None = None, as_json: bool = False) -> None:
    """Run the `chosen` comparisons with the user's `overrides`, and print the conditions, then each row as soon as it
    is there.

    rounds   of each comparison; None: each one's own number
    as_json  print all at the end as JSON, and the rows to the standard error
    """
    from ablate.bench import conditions

    here = conditions.now(overrides)
    rows: dict[str, list[dict[str, Any]]] = {}
    out = sys.stderr if as_json else sys.stdout
    for line in conditions.lines(here):
        print(line, file=out, flush=True)
    try:
        for name in chosen:
            print(f"{name} …", file=sys.stderr, flush=True)
            module = import_module(f"{__name__}.{name}")
            rows[name] = []
            for row in module.compare(overrides, rounds):
                if "comparison" not in row and not rows[name]:
                    print(f"\n{module.TITLE}", file=out)
                rows[name].append(row)
                _show(row, len(rows[name]) == 1, out)
    finally:  # what has been measured is kept, even if a later comparison fails
        if as_json:
            print(json.dumps({"conditions": here, **rows}, indent=2))


def _show(row: Mapping[str, Any], first: bool, out: TextIO) -> None:
    """Print a row: two lines, or a table's line below its columns' names."""
    if "comparison" in row:
        figures = f"{_word(row['median'])} ({_word(row['min'])} to {_word(row['max'])})"
        print(f"\n{row['comparison']}\n    {figures}, goal {row['goal']}; {row['how']}", file=out, flush=True)
        return
    shown = {name: _word(value) for name, value in row.items() if name not in NOT_SHOWN}
    widths = {name: max(len(name), 24 if name == "network" else 0) for name in shown}
    if first:
        print("  ".join(name.ljust(width) for name, width in widths.items()).rstrip(), file=out)
    print("  ".join(shown[name].ljust(width) for name, width in widths.items()).rstrip(), file=out, flush=True)


def _word(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
