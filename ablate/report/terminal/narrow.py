"""Tables on terminals that are not as wide."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table


def fitted(table: Table, console: Console, spare: Sequence[str]) -> Table:
    """The table, without as many of its `spare` columns, the first one first, as it takes to fit the console.

    Numbers, which are the columns justified to the right, stay whole. The widest of the others has its lines broken
    between words where that is enough; only where nothing is left to leave out are words broken too.
    """
    left_out: list[str] = []
    while True:
        fitting = without(table, left_out)
        if _fits(fitting, console) or len(left_out) == len(spare):
            return fitting
        left_out.append(spare[len(left_out)])


def fits(table: Table, console: Console, spare: Sequence[str]) -> bool:
    """Whether every word has room where the `spare` columns are left out."""
    return _fits(without(table, spare), console)


def _fits(table: Table, console: Console) -> bool:
    """Whether every word has room. Gives the widest column of words the room that the others leave."""
    sizes = [_size(column, console) for column in table.columns]
    words = [at for at, column in enumerate(table.columns) if column.justify != "right"]
    room = console.width - sum(size.maximum + table.padding[1] + table.padding[3] for size in sizes)
    if room >= 0 or not words:
        return room >= 0
    widest = max(words, key=lambda at: sizes[at].maximum)
    width = sizes[widest].maximum + room
    if width < sizes[widest].minimum:
        return False
    table.columns[widest].width = width
    return True


def _size(column: Column, console: Console) -> Measurement:
    """How wide its longest word is, and its longest line."""
    wide = console.options.update(max_width=10_000)
    sizes = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
    return Measurement(max(size.minimum for size in sizes), max(size.maximum for size in sizes))


def without(table: Table, left_out: Sequence[str]) -> Table:
    """The table without the columns of these heads."""
    made = Table(box=table.box, padding=table.padding, header_style=table.header_style)
    kept = [column for column in table.columns if column.header not in left_out]
    for column in kept:
        made.add_column(column.header, justify=column.justify, no_wrap=column.justify == "right", overflow="fold")
    for row in zip(*(column.cells for column in kept), strict=True):
        made.add_row(*row)
    return made
