"""A result that is there already, reported to the W&B run that an agent was told to make."""

from ablate.configuration import agent
from ablate.runs.cell import Cell
from ablate.runs.record import RunRecord
from ablate.runs.tracked.labels import labels
from ablate.training import tracking
from ablate.training.saving.history import logged


def report(cell: Cell, record: RunRecord) -> str | None:
    """Give the agent's W&B run the result that `cell` has: series, summary and status. Gradient norms and pictures
    stay behind.

    Returns that run's id; None where there is nothing to do: no agent, tracking.report_stored=false, W&B disabled, or
    the result is that very run's.
    """
    mode = cell.tracking_mode
    if not agent.present() or not cell.cfg.tracking.report_stored or mode == "disabled":
        return None
    if record.wandb.id == agent.run_id():
        return None
    own = vars(labels(cell))
    with tracking.wandb_run(cell.cfg.tracking, directory=cell.directory, mode=mode, run_id=None, **own) as run:
        for values in logged([cell.directory / "metrics.parquet"]):
            run.log(values)
        verdict = {"gradient_flow/verdict": record.gradient_flow} if record.gradient_flow else {}
        closing = tracking.closing_summary(record.status, record.fingerprint, record.cost)
        run.summary.update(record.summary | verdict | closing)
        return run.id
