"""One cell from its overrides, in this process: what every engine's job calls."""

from ablate.configuration import refusals
from ablate.configuration.composition import Composition
from ablate.runs import cell


def run_overrides(overrides: list[str]) -> int:
    """Train the cell, unless it has a result. Returns the exit code."""
    refusals.register_resolvers()
    return refusals.guarded(lambda: cell.run(cell.prepare(Composition.of(overrides))))
