"""Runs cells as an array of Slurm jobs, through submitit.

The configuration is that of Hydra's submitit launcher. Its `launch` is not used: it returns when the first job fails,
while others still run, and shows the array's id only then.

A job that is preempted, or runs out of time, gets submitit's signal (USR2, or `SUBMITIT_PREEMPT_SIGNAL`). The run saves
its state, submitit requeues the job, and the run resumes.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ablate.errors import InputError

log = logging.getLogger(__name__)

LAUNCHER = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"

# Seconds between two queries of Slurm's controller. The pause grows with the time waited so far.
LEAST_PAUSE, MOST_PAUSE = 1.0, 15.0

UNKNOWN = Counter({"unknown": 1})  # the controller does not answer


@dataclass(frozen=True)
class Job:
    """What a node runs: one cell, in the working directory `folder`."""

    folder: Path

    def __call__(self, overrides: list[str]) -> int:
        # If the node does not have the folder, Slurm has started the job in /tmp, and this raises.
        os.chdir(self.folder)
        # Imported here: submitit handles its signal only once it has loaded this job.
        from ablate.process.exit_codes import by_signal
        from ablate.process.interrupt import Interrupted
        from ablate.runs import cell

        try:
            return cell.run_overrides(overrides)
        except Interrupted as stop:
            # Exit without returning: submitit would write a result file, although Slurm may requeue the job.
            sys.exit(by_signal(stop.signum))

    def checkpoint(self, overrides: list[str]) -> Any:
        """submitit calls this to requeue the job. The job is the same: the run resumes from its own directory."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, overrides)


def launch(jobs: Sequence[Sequence[str]], config: DictConfig) -> None:
    """Submit one job for each list of overrides, and return when the last one has ended.

    config  `hydra.launcher`, with the submitit launcher's keys

    Ctrl-C cancels the jobs and waits until they have saved their state; a second Ctrl-C does not wait. Raises
    InputError if Slurm is not installed, or refuses the jobs.
    """
    _check_cluster()
    most = _largest_array()
    for start in range(0, len(jobs), most):
        _run_array(jobs[start : start + most], config)


def _largest_array() -> int:
    """The most jobs that the cluster accepts as one array; 1,000 if that is not configured."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _slurm("scontrol", "show", "config").stdout, re.MULTILINE)
    return max(1, int(found[1]) - 1) if found else 1000


def _run_array(jobs: Sequence[Sequence[str]], config: DictConfig) -> None:
    submitted = _submit(jobs, config)
    array = submitted[0].job_id.partition("_")[0]
    print(
        f"Slurm job {array}: {_runs(len(jobs))}, logs in {submitted[0].paths.folder.parent}/{array}*/. Ctrl-C or"
        f" `scancel {array}` cancels it; if this process ends otherwise, the jobs continue.",
        flush=True,
    )
    try:
        _wait(array, len(jobs))
    except KeyboardInterrupt:
        print(f"Cancelling Slurm job {array}: its runs save their state.", flush=True)
        _cancel(array)
        raise
    for job, overrides in zip(submitted, jobs, strict=True):
        if how := _failure(job):
            print(f"Slurm job {job.job_id} {how}: {' '.join(overrides)}", file=sys.stderr)
            print(f"    its log: {job.paths.stdout}", file=sys.stderr, flush=True)


def _failure(job: Any) -> str | None:
    """How the job failed; None if it did not."""
    if not job.paths.result_pickle.exists():
        return f"is {job.get_info().get('State', 'of unknown state')}"
    if error := job.exception():
        return f"failed ({error})"
    return f"has the exit code {code}" if (code := job.result()) else None


def _check_cluster() -> None:
    missing = [command for command in ("sbatch", "srun", "scancel", "squeue", "sacct") if not shutil.which(command)]
    if missing:
        raise InputError(
            f"hydra/launcher=slurm: {', '.join(missing)} not found. Start the sweep on a login node of the cluster."
        )
    try:
        asked = _slurm("sacct", "--noheader", "--allocations", "--starttime=now", timeout=60)
        problem = "" if asked.returncode == 0 else asked.stderr.strip()
    except subprocess.TimeoutExpired:
        problem = "no answer in a minute"
    if problem:
        raise InputError(
            f"hydra/launcher=slurm: sacct does not work ({problem}). submitit needs Slurm's accounting to know"
            " how jobs ended: ask the cluster's administrators for slurmdbd, or run `wandb agent` in your own jobs."
        )


def _submit(jobs: Sequence[Sequence[str]], config: DictConfig) -> list[Any]:
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    parameters: dict[str, Any] = dict(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    del parameters["_target_"]
    executor = submitit.AutoExecutor(
        folder=Path(parameters.pop("submitit_folder")).absolute(),
        cluster="slurm",
        slurm_max_num_timeout=parameters.pop("max_num_timeout"),
    )
    shared = {field.name for field in fields(BaseQueueConf)}
    try:
        executor.update_parameters(**{k if k in shared else f"slurm_{k}": v for k, v in parameters.items()})
        return executor.map_array(Job(Path.cwd()), [list(overrides) for overrides in jobs])
    except (AssertionError, NameError, ValueError) as error:
        raise InputError(f"hydra.launcher: {error}") from error
    except (FailedJobError, FailedSubmissionError) as error:
        raise InputError(f"Slurm refuses the jobs: {str(error).strip()}") from error


def _wait(array: str, count: int) -> None:
    start, shown = time.monotonic(), None
    while queue := _queue(array):
        ended = f"{count - queue.total()} of {count} ended"
        states = [ended, *(f"{number} {state.lower()}" for state, number in sorted(queue.items()))]
        if states != shown and queue != UNKNOWN:
            print(f"Slurm job {array}: {', '.join(states)}", flush=True)
            shown = states
        time.sleep(min(MOST_PAUSE, max(LEAST_PAUSE, (time.monotonic() - start) / 50)))


def _cancel(array: str) -> None:
    _slurm("scancel", array)
    while _queue(array):
        time.sleep(LEAST_PAUSE)
        # If SIGTERM is submitit's signal, cancelled jobs are requeued once: cancel them again.
        _slurm("scancel", "--state=PENDING", array)


def _queue(array: str) -> Counter[str]:
    """The number of the array's jobs that have not ended, by state: pending, running, suspended, completing, …

    Asks squeue. sacct, which submitit asks, does not show a job while it is being requeued.
    """
    asked = _slurm("squeue", "--noheader", "--array", f"--jobs={array}", "--format=%T")
    if asked.returncode == 0:
        return Counter(asked.stdout.split())
    if "Invalid job id" in asked.stderr:  # Slurm forgets a job some minutes after it has ended
        return Counter()
    log.warning("%s: asking again.", asked.stderr.strip())
    return UNKNOWN


def _slurm(*command: str, timeout: float | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
