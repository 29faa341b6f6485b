"""One cell from its overrides, in this process: what every engine's job calls."""

from ablate.study import cell, commandline
from ablate.study.composition import Composition


def run_overrides(overrides: list[str]) -> int:
    """Train the cell, unless it has a result. Returns the exit code."""
    commandline.register_resolvers()
    return commandline.guarded(lambda: cell.run(cell.prepare(Composition.of(overrides))))
