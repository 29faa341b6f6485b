"""A sweep file's cells, run."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.api.runs import Run
from ablate.configuration import place
from ablate.configuration.overrides import folder
from ablate.configuration.refusals.wording import explaining
from ablate.configuration.resolvers import register_resolvers
from ablate.report.terminal import sweep_view
from ablate.runs.origin import Here
from ablate.runs.record import RESULTS
from ablate.sweep import execution
from ablate.sweep.engines import pool
from ablate.sweep.execution import Request
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import PlannedCell

if TYPE_CHECKING:
    import pandas as pd


class Swept:
    """A sweep's cells after it has run."""

    def __init__(self, cells: Sequence[PlannedCell]) -> None:
        self.cells = list(cells)

    @property
    def runs(self) -> list[Run]:
        """Of the cells that have a result, finished or diverged."""
        return [Run(c.directory, c.record, trust=True) for c in self.cells if c.record and c.status in RESULTS]

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each cell: the file's parameters, `status`, and `reason` where it has no result."""
        import pandas as pd

        return pd.DataFrame([{**c.assignment, "status": c.status, "reason": c.reason} for c in self.cells])

    def __repr__(self) -> str:
        return f"<{len(self.cells)} cells, {len(self.runs)} with a result>"

    def _repr_html_(self) -> str:
        return self.table.to_html()


def sweep(
    file: str | Path,
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    retry_failed: bool = False,
    rerun_outdated: bool = False,
) -> Swept:
    """Run the cells of a sweep file that have no result yet, as `python -m ablate sweep` does.

        ablate.sweep("sweeps/quick.yaml", ["trainer.max_epochs=5"]).table

    A cell that fails is in the table, with its reason; the others go on. Raises InputError for a file that is none.
    """
    register_resolvers()
    typed = [*folder(Path(config_dir) if config_dir else None), *overrides]
    read, request = SweepFile.read(Path(file)), Request.of(typed)
    if request.in_pool:
        pool.prepare()
    with explaining():
        cells = planned(read, request)
    run(read, execution.to_run(cells, retry_failed, rerun_outdated), request)
    return Swept(cells)


def planned(file: SweepFile, request: Request) -> list[PlannedCell]:
    """The cells, with what can be known of them before they are run."""
    return execution.planned(file, request, check_data=not request.elsewhere, here=Here())


def run(
    file: SweepFile, cells: Sequence[PlannedCell], request: Request, every: Sequence[PlannedCell] | None = None
) -> None:
    """Run these cells, and show it among `every` cell of the sweep.

    Raises Stopped, Interrupted or KeyboardInterrupt, all state saved.
    """
    if not cells:
        return
    place.make(cells[0].directory.parent)
    view = sweep_view.SweepView(file, cells, every)
    with view if request.in_pool else nullcontext():  # the others show their runs themselves
        execution.sweep(cells, request, view)
