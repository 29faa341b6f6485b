"""What `ablate aa` shows: a design against itself."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from ablate.comparison.comparison import Comparison
from ablate.configuration.values import without_nan
from ablate.report.numbers import DASH, numbered, percent, unit
from ablate.report.terminal.markup import plain
from ablate.statistics.noise_floor import Floor
from ablate.statistics.paired import Estimate


def show(comparison: Comparison, values: Sequence[float], floors: Sequence[Floor]) -> None:
    """values: by seed, larger is better, -inf a lost run."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    of = unit(comparison.metric)
    own = [comparison.sign * value for value in values if value != -math.inf]
    estimate = Estimate(tuple(own))
    console.print()
    said = f"{numbered(len(values), 'seed')} of the baseline: {plain(comparison.metric)} {of.value(estimate.mean)}"
    if estimate.deviation is not None:
        said += f", standard deviation {of.value(estimate.deviation)}, {of.interval((min(own), max(own)))}"
    lost = len(values) - len(own)
    console.print(said + (f"; {lost} lost." if lost else "."))
    if not floors:
        console.print("Two seeds at least have to end before one can be compared with the other.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in (
        "seeds each",
        "the first has the higher mean",
        "95% of differences are within",
        "called better or worse",
    ):
        table.add_column(name, justify="right")
    for floor in floors:
        within = DASH if floor.within is None else f"±{of.value(floor.within)}{of.of_difference}"
        table.add_row(str(floor.seeds), percent(floor.higher), within, percent(floor.called))
    console.print(table)
    console.print(
        "Two groups of these seeds are compared as two variants would be; nothing differs, so all of it is luck. "
        "Variants that share seeds share initialisation and batches, which can make their differences smaller."
    )


def as_data(comparison: Comparison, values: Sequence[float], floors: Sequence[Floor]) -> dict[str, Any]:
    own = [None if value == -math.inf else comparison.sign * value for value in values]
    estimate = Estimate(tuple(value for value in own if value is not None))
    return without_nan(
        {
            "metric": comparison.metric,
            "values": own,
            "mean": estimate.mean,
            "deviation": estimate.deviation,
            "floors": [asdict(floor) for floor in floors],
        }
    )
