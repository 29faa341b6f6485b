"""A result that is there already, reported to the W&B run that an agent was told to make."""

from typing import Any

from ablate.configuration import agent
from ablate.runs.cell import Cell
from ablate.training import tracking
from ablate.training.saving.history import logged


def report(cell: Cell, record: dict[str, Any]) -> str | None:
    """Give the agent's W&B run the result that `cell` has: series, summary and status. Gradient norms and pictures
    stay behind.

    Returns that run's id; None where there is nothing to do: no agent, tracking.report_stored=false, W&B disabled, or
    the result is that very run's.
    """
    mode = cell.tracking_mode
    if not agent.present() or not cell.cfg.tracking.report_stored or mode == "disabled":
        return None
    if record["wandb"]["id"] == agent.run_id():
        return None
    name = cell.composition.name
    with tracking.wandb_run(cell.cfg, directory=cell.directory, mode=mode, run_id=None, name=name) as run:
        for values in logged([cell.directory / "metrics.parquet"]):
            run.log(values)
        verdict = {"gradient_flow/verdict": record["gradient_flow"]} if record.get("gradient_flow") else {}
        run.summary.update(record["summary"] | verdict | tracking.closing_summary(record))
        return run.id
