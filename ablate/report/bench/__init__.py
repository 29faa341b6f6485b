"""What the harness costs on this machine: one module per comparison, each with its own table."""

import json

from rich.console import Console
from rich.table import Table

from ablate.report.bench import gradients
from ablate.study.composition import Composition
from ablate.study.provenance import provenance


def show(composition: Composition, as_json: bool = False) -> None:
    """Every comparison, with what `composition` overrides, as tables or as JSON."""
    found = provenance("")["hardware"]
    hardware = {key: found[key] for key in ("cpu", "cores", "gpus")}
    rows = gradients.compare(composition.overrides)
    if as_json:
        print(json.dumps({"hardware": hardware, "gradients": rows}, indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=f"{gradients.TITLE}\n{hardware}", box=None, title_justify="left", padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "network" else "right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
