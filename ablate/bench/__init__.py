"""Measures what the harness costs on this machine: one module for each comparison.

A module's `compare(overrides)` returns rows. Rows made by `paired.row` are shown together in one table. Other rows get
their own table, under the module's TITLE.
"""

import json
import sys
from collections.abc import Collection
from importlib import import_module
from typing import Any

# The comparisons, in the order in which they run.
NAMES = ("harness", "recipe", "data", "memory", "flops", "large_images", "sweep", "gradients", "scale")


def show(overrides: list[str], chosen: Collection[str], as_json: bool = False) -> None:
    """Run the `chosen` comparisons, or all, with the user's `overrides`, and print tables or JSON."""
    from ablate.runs.provenance import provenance

    found = provenance("")["hardware"]
    hardware = {key: found[key] for key in ("cpu", "cores", "gpus")}
    rows: dict[str, list[dict[str, Any]]] = {}
    titles: dict[str, str] = {}
    try:
        for name in NAMES:
            if name in chosen or not chosen:
                print(f"{name} …", file=sys.stderr, flush=True)
                module = import_module(f"{__name__}.{name}")
                rows[name], titles[name] = module.compare(overrides), module.TITLE
    finally:  # show what has been measured, even if a later comparison fails
        _show(hardware, rows, titles, as_json)


def _show(
    hardware: dict[str, Any], rows: dict[str, list[dict[str, Any]]], titles: dict[str, str], as_json: bool
) -> None:
    if as_json:
        print(json.dumps({"hardware": hardware, **rows}, indent=2))
        return
    together = [row for found in rows.values() for row in found if "comparison" in row]
    if together:
        _print(f"{hardware}", [_as_shown(row) for row in together])
    for name, found in rows.items():
        if found and "comparison" not in found[0]:
            _print(f"{titles[name]}\n{hardware}", found)


def _as_shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "comparison": row["comparison"],
        "goal": row["goal"],
        "median": row["median"],
        "min to max": f"{row['min']:.3f} to {row['max']:.3f}",
        "how": row["how"],
    }


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=None, title_justify="left", padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, justify="left" if name in ("network", "comparison", "how") else "right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(highlight=False, soft_wrap=True).print(table)
