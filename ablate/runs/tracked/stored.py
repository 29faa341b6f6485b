"""Reports a stored result to the W&B run that an agent has started for it."""

from ablate.configuration import agent
from ablate.runs.cell import Cell
from ablate.runs.record import RunRecord
from ablate.runs.tracked.labels import labels
from ablate.training import tracking
from ablate.training.saving.history import logged


def report(cell: Cell, record: RunRecord) -> str | None:
    """Log the result of `cell` to the agent's W&B run: series, summary and status, without gradient norms and pictures.

    Returns the W&B run's id. Does nothing and returns None without an agent, with tracking.report_stored=false or
    tracking=disabled, and if the result is from the same W&B run.
    """
    mode = cell.tracking_mode
    if not agent.present() or not cell.cfg.tracking.report_stored or mode == "disabled":
        return None
    if record.wandb.id == agent.run_id():
        return None
    own = vars(labels(cell, record.provenance))
    with tracking.wandb_run(cell.cfg.tracking, directory=cell.directory, mode=mode, run_id=None, **own) as run:
        for values in logged([cell.directory / "metrics.parquet"]):
            run.log(values)
        verdict = {"gradient_flow/verdict": record.gradient_flow} if record.gradient_flow else {}
        closing = tracking.closing_summary(record.status, record.fingerprint, record.cost)
        run.summary.update(record.summary | verdict | closing)
        return run.id
