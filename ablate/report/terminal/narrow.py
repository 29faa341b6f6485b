"""Tables on terminals that are not as wide."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def fitted(table: Table, console: Console, spare: Sequence[str]) -> Table:
    """The table, without as many of its `spare` columns, the first one first, as it takes to fit the console.

    Numbers, which are the columns justified to the right, stay whole; where there is still no room, the others have
    their lines broken between words.
    """
    left_out: list[str] = []
    while True:
        fitting = _without(table, left_out)
        wide = console.measure(fitting, options=console.options.update(max_width=10_000)).maximum
        if wide <= console.width or len(left_out) == len(spare):
            return fitting
        left_out.append(spare[len(left_out)])


def _without(table: Table, left_out: Sequence[str]) -> Table:
    made = Table(box=table.box, padding=table.padding, header_style=table.header_style)
    kept = [column for column in table.columns if column.header not in left_out]
    for column in kept:
        made.add_column(column.header, justify=column.justify, no_wrap=column.justify == "right", overflow="fold")
    for row in zip(*(column.cells for column in kept), strict=True):
        made.add_row(*row)
    return made
