"""A design's network, shown: tables on the terminal, markdown, JSON."""

import json
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from ablate.configuration.composition import Composition
from ablate.report.numbers import count
from ablate.report.terminal.markup import plain
from ablate.runs.description import NETWORK_AXES, description, experiments


def show(composition: Composition, as_json: bool = False) -> None:
    """The network of `composition`, as tables or as JSON."""
    described = description(composition)
    if as_json:
        print(json.dumps(described, indent=2))
    else:
        _show_tables(described)


def show_experiments(composition: Composition, as_json: bool = False) -> None:
    """Every named network, conf/experiment/*.yaml, as a markdown table or as JSON."""
    rows = experiments(composition)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    print("| `experiment=` | what and from where | images | classes | parameters | multiply-adds |")
    print("|---|---|---|---:|---:|---:|")
    for row in rows:
        source = row["source"].replace("|", "\\|")
        numbers = f"{_by(row['image'])} | {row['classes']} | {row['params']:,} | {count(row['macs'])}"
        print(f"| `{row['experiment']}` | {source} | {numbers} |")


def _show_tables(described: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    image = f"{_by(described['image'])} images, {described['classes']} classes"
    stages = _table(
        f"{plain(' '.join(described['overrides']) or 'defaults')}  [not bold dim]{image}[/]",
        show_footer=True,
    )
    stages.add_column("", footer="total")
    stages.add_column("output", footer="")
    for name, total in (
        ("blocks", f"{described['blocks']}"),
        ("parameters", f"{described['params']:,}"),
        ("multiply-adds", count(described["macs"])),
        ("activations", decimal(described["activation_bytes"])),
    ):
        stages.add_column(name, footer=total, justify="right")
    for stage in described["stages"]:
        stages.add_row(
            stage["name"],
            _by(stage["shape"]),
            f"{stage['blocks'] or ''}",
            f"{stage['params']:,}",
            count(stage["macs"]),
            decimal(stage["activation_bytes"]),
        )
    console.print()
    console.print(stages)
    statistics = f" Beside the parameters: {described['buffers']:,} norm statistics." if described["buffers"] else ""
    console.print(f"[dim]Activations: of one image, kept for the backward, in float32.{statistics}[/dim]")
    _show_differences(console, described["differences"])


def _show_differences(console: Console, differences: list[dict[str, Any]]) -> None:
    changes = _table("Not the default, and what each changes with all else kept")
    for name in ("", "default", "", "chosen"):
        changes.add_column(name)
    for name in ("parameters", "multiply-adds"):
        changes.add_column(name, justify="right")
    clashes, elsewhere = [], []
    for change in differences:
        axis, default, chosen = (_word(change[key]) for key in ("choice", "default", "chosen"))
        if axis not in NETWORK_AXES:
            elsewhere.append(f"{axis} {default} → {chosen}")
            continue
        params, macs = change["params"], change["macs"]
        if "clash" in change:
            clashes.append(f"{axis}={default} clashes here: {plain(change['clash'])}")
            numbers = ["clash", "clash"]
        else:
            numbers = [_signed(params, f"{abs(params):,}"), _signed(macs, count(abs(macs)))]
        values = "".join(f" {key.partition('.')[2]}={_word(value)}" for key, value in change["values"].items())
        changes.add_row(axis, default, "→", f"[bold]{chosen}[/bold]{values}", *numbers)
    if changes.row_count:
        console.print()
        console.print(changes)
    for line in clashes:
        console.print(f"[dim]{line}[/dim]")
    if elsewhere:
        console.print(f"[dim]Also not the default, outside the network: {', '.join(elsewhere)}.[/dim]")


def _table(title: str, show_footer: bool = False) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        header_style="dim",
        footer_style="bold",
        show_footer=show_footer,
    )


def _word(value: Any) -> str:
    """A value as it is typed."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else plain(str(value).replace(", ", ","))


def _signed(change: int, size: str) -> str:
    return "same" if change == 0 else f"{'+' if change > 0 else '-'}{size}"


def _by(shape: list[int] | tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
