"""What a sweep that adds seeds in rounds shows on the terminal."""

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ablate.comparison.comparison import Comparison
from ablate.comparison.rounds import Declared, Progress
from ablate.report.numbers import DASH, numbered, unit
from ablate.report.terminal.markup import plain
from ablate.report.terminal.narrow import fitted


def round_line(stands: Progress, declared: Declared, runs: int) -> str:
    """What comes next."""
    assert stands.look is not None
    seeds, looks = declared.looks[stands.look], len(declared.looks)
    going = f"{numbered(stands.running, 'variant')} {'goes' if stands.running == 1 else 'go'} on"
    return f"look {stands.look + 1} of {looks}, at {seeds} seeds: {going}, {numbered(runs, 'run')}."


def rules_line(declared: Declared) -> str:
    """The rules in one sentence."""
    of = unit(declared.metric)
    margin = "" if declared.margin is None else f", margin {of.change(declared.margin).lstrip('+')}{of.of_difference}"
    return (
        f"Laid down before the first run: looks at {', '.join(map(str, declared.looks))} seeds, {declared.metric},"
        f" {declared.spending.replace('_', '-')} spending of 5% over all variants and looks{margin}."
    )


def saved_line(comparison: Comparison, declared: Declared) -> str:
    """How many runs it took, and how many all seeds of every variant would have taken."""
    used = comparison.count("finished", "diverged", "stopped")
    full = len(comparison.variants) * declared.looks[-1]
    return f"{used} runs; all {declared.looks[-1]} seeds of {len(comparison.variants)} variants would be {full}."


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
            variant.decision.outcome if variant.decision else "" if variant.is_baseline else "goes on",
            str(len(variant.entries)),
            of.value(variant.estimate.mean),
            of.change(difference.mean) if difference else DASH,
            of.interval(difference.interval, changes=True) if difference else DASH,
        )
    console.print()
    console.print(fitted(table, console, ("interval", "mean")))
    console.print(rules_line(declared))
    console.print(saved_line(comparison, declared))
    failed = [entry for entry in stands.wanted if entry.status in ("failed", "invalid")]
    if failed:
        again = shlex.join(["--retry-failed", *(text for text in arguments if text != "--retry-failed")])
        console.print(f"{numbered(len(failed), 'run')} failed, for which a look waits. Again:")
        console.print(f"    [bold]python -m ablate sweep {plain(again)}[/]")
    elif stands.look is not None:
        console.print("Not all is decided: the same command goes on from here.")
