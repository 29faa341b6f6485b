"""Weights & Biases, one W&B run per run."""

import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import wandb
from omegaconf import DictConfig

from ablate.configuration import agent
from ablate.errors import InputError
from ablate.process.exit_codes import DONE, FAILED

log = logging.getLogger(__name__)

# With a run's first picture wandb (0.31) would import pandas, a third of a second, to recognise its tables. Without it,
# it goes by the names of their classes.
wandb.util.pd_available = False

# For each run wandb (0.31) reads the metadata of all installed packages: a tenth of a second of a sweep's cell.
if hasattr(wandb.util, "working_set"):  # not a part of its interface: another version may lack it
    wandb.util.working_set = cache(lambda listed=wandb.util.working_set: tuple(listed()))

PATIENCE = 600.0  # seconds

SERIES = {  # by their axis
    "trainer/global_step": ("train/loss_step", "lr", "gradient_flow/*"),
    "epoch": ("train/*", "val/*", "test/*"),
}
_NOT_TELLING = ("train/loss_step", "lr")  # of which the last value says nothing of the run


def mode(tracking: DictConfig, chosen: bool) -> str:
    """offline, online or disabled: the override if the user gave one (`chosen`), else WANDB_MODE, else online under
    a W&B agent, else what the configuration says. Raises InputError for a WANDB_MODE that W&B does not know.
    """
    by_environment = agent.wandb_mode()  # wrong, it is refused in any case: W&B reads it too
    if chosen:
        return tracking.mode
    return by_environment or ("online" if agent.present() else tracking.mode)


def check_login() -> None:
    """Log in to W&B's server with the key that is stored here; in a terminal W&B asks for one where none is.

    Raises InputError where the server knows nobody by it, or does not answer. An agent has logged in itself.
    """
    if agent.present():
        return
    try:
        wandb.login(verify=True)
    except wandb.Error as error:
        raise _refused(error, "online") from error


def _refused(error: wandb.Error, mode: str) -> InputError:
    advice = " Or set tracking=offline." if mode == "online" else ""
    return InputError(f"W&B: {' '.join(str(error).split())}{advice}")


def run_id(mode: str, known: str | None) -> str | None:
    """The id of the W&B run: `known`, of a run that is resumed, or a new one; None where an agent names it."""
    if known:
        return known
    return None if mode == "disabled" or agent.present() else secrets.token_hex(4)


def closing_summary(status: str, fingerprint: str, cost: dict[str, Any]) -> dict[str, Any]:
    """What a W&B run's summary says at its end beside the metrics."""
    return {"status": status, "fingerprint": fingerprint, **cost}


@contextmanager
def wandb_run(
    tracking: DictConfig,
    *,
    directory: Path,
    mode: Any,
    run_id: str | None,
    name: str | None,
    group: str | None,
    tags: Sequence[str] | None,
    config: dict[str, Any],
) -> Iterator[Any]:
    """An open W&B run that is always finished, with exit code 0 unless the block raises; None where disabled.

    Step series have `trainer/global_step` as their axis, epoch series `epoch`. What says nothing at the end of a run,
    as the norms of single layers, is not in its summary. `run_id` continues a run of that id.

    Under an agent the run is the one that the agent names, whatever `run_id`, and in its project. W&B itself then adds
    the sweep's parameters to the configuration, by name, and the server goes by them: a grid counts as done what it
    finds there.

    Raises InputError where W&B refuses to open the run.
    """
    if mode == "disabled":
        yield None
        return
    # wandb.init (0.31) would load it from deep within other imports, where pydantic, looking for the source of 60
    # classes, goes through all loaded modules for every frame on the way: 1.3 s of the processor's time, not 0.4.
    from wandb.apis import public  # noqa: F401

    by_agent = agent.present()
    try:
        run = wandb.init(
            mode=mode,
            dir=directory,
            id=None if by_agent else run_id,
            resume="allow",
            name=name,
            project=None if by_agent else tracking.project,
            entity=None if by_agent else tracking.entity,
            group=group,
            tags=tags,
            job_type=tracking.job_type,
            config=config,
            # The closing table says where the run lies and how to upload it; W&B's own summary would list every layer.
            settings=wandb.Settings(silent=mode == "offline", quiet=True, console="off", **_patience()),
            reinit="finish_previous",
        )
    except wandb.Error as error:
        raise _refused(error, mode) from error
    for axis, names in SERIES.items():
        run.define_metric(axis, hidden=True, summary="none")
        for pattern in names:
            run.define_metric(pattern, step_metric=axis, summary="none" if pattern in _NOT_TELLING else None)
    exit_code = FAILED  # by which W&B tells a run that broke from one that is over
    try:
        yield run
        exit_code = DONE
    finally:
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError:
            folder = Path(run.dir).parent
            log.warning(
                "W&B's server has not taken all of this run. The rest is kept: wandb sync --include-online %s", folder
            )


def _patience() -> dict[str, Any]:
    """How long W&B tries to send the rest of a run that is over, of which nothing is lost: without an end of its own,
    for hours where the server is away. Versions before 0.31 have no such setting."""
    if "finish_timeout" not in wandb.Settings.model_fields:
        return {}
    said = {} if os.environ.get("WANDB_FINISH_TIMEOUT") else {"finish_timeout": PATIENCE}
    return {**said, "finish_timeout_raises": True}


def close() -> None:
    """Let W&B's own process end, which stays for this one's next run."""
    wandb.teardown()
