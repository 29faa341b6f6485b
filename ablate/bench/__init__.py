"""What the harness costs on this machine: one module per comparison.

`compare(overrides)` of a module returns its rows. Those of `paired.row` stand together in one table; others are a table
of their own, under the module's TITLE.
"""

import json
import sys
from collections.abc import Collection
from importlib import import_module
from typing import Any

# In this order, unless some of them are chosen.
NAMES = ("harness", "recipe", "data", "memory", "flops", "large_images", "sweep", "gradients", "scale")


def show(overrides: list[str], chosen: Collection[str], as_json: bool = False) -> None:
    """The comparisons that are `chosen`, or all, with the user's `overrides`, as tables or as JSON."""
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
    finally:  # what has been measured is shown whatever becomes of the rest
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
