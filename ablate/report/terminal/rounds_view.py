"""What a sweep that adds seeds in rounds shows on the terminal."""

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ablate.comparison.comparison import Comparison
from ablate.comparison.looking.rounds import Declared, Progress
from ablate.report.in_rounds import rules, saved
from ablate.report.numbers import DASH, numbered, unit
from ablate.report.terminal.markup import plain, prose
from ablate.report.terminal.narrow import fitted


def round_line(stands: Progress, declared: Declared, runs: int) -> str:
    """What comes next."""
    assert stands.look is not None
    seeds, looks = declared.looks[stands.look], len(declared.looks)
    going = f"{numbered(stands.running, 'variant')} {'goes' if stands.running == 1 else 'go'} on"
    return f"look {stands.look + 1} of {looks}, at {seeds} seeds: {going}, {numbered(runs, 'run')}."


def show(comparison: Comparison, stands: Progress, declared: Declared, arguments: Sequence[str]) -> None:
    """Each variant's decision, the rules, and what to type next.

    arguments  of the sweep, as typed
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    of = unit(declared.metric)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("variant", "decision", "seeds", "mean", "difference", "interval"):
        table.add_column(name, justify="left" if name in ("variant", "decision") else "right")
    for variant in comparison.variants:
        difference = variant.difference
        table.add_row(
            plain(variant.label),
            "" if variant.is_baseline else variant.verdict,
            str(len(variant.entries)),
            of.value(variant.estimate.mean),
            of.change(difference.mean) if difference else DASH,
            of.interval(difference.interval, changes=True) if difference else DASH,
        )
    console.print()
    console.print(fitted(table, console, ("interval", "mean")))
    prose(console, rules(comparison))
    prose(console, saved(comparison))
    waits = False
    for status, flag in (("failed", "--retry-failed"), ("outdated", "--rerun-outdated")):
        if count := sum(entry.status == status for entry in stands.wanted):
            again = shlex.join([flag, *(text for text in arguments if text != flag)])
            console.print(f"A look waits for {numbered(count, 'run')} with the status {status}. To run again:")
            console.print(f"    [bold]python -m ablate sweep {plain(again)}[/]")
            waits = True
    if stands.look is not None and not waits:
        prose(console, "Not all is decided: the same command goes on from here.")
