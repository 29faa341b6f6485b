"""Runs cells with any of Hydra's launcher plugins: in this process (basic), on Slurm, on Ray, …"""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus
from hydra.errors import MissingConfigException
from hydra.types import HydraContext
from omegaconf import DictConfig

from ablate.configuration.composition import CONF, composed
from ablate.configuration.overrides import override
from ablate.errors import InputError
from ablate.sweep.engines import slurm


@dataclass(frozen=True)
class Task:
    """A launcher's job: trains the cell of Hydra's overrides, in the working directory `folder`."""

    folder: Path

    def __call__(self, cfg: DictConfig) -> int:
        from ablate.runs import cell

        os.chdir(self.folder)  # Ray's workers start elsewhere
        return cell.run_overrides(list(HydraConfig.get().overrides.task))


def launch(jobs: Sequence[Sequence[str]], hydra_overrides: Sequence[str]) -> None:
    """Run a cell for each list of overrides, with the launcher that `hydra_overrides` choose. Return when all have
    ended.

    A launcher reports one error at most, so read the outcome of each cell in its directory. Jobs may run on other
    machines, so `runs_dir` is made absolute.

    Raises InputError for a launcher that is not installed, and whatever the launcher raises.
    """
    with _application() as config_loader:
        config = composed_with([*jobs[0], *hydra_overrides])
        runs_dir = Path(config.runs_dir).expanduser().absolute()
        absolute = [[*overrides, override("runs_dir", str(runs_dir))] for overrides in jobs]
        config = composed_with([*absolute[0], *hydra_overrides])
        if config.hydra.launcher._target_ == slurm.LAUNCHER:
            slurm.launch(absolute, config.hydra.launcher)
            return
        launcher = Plugins.instance().instantiate_launcher(
            HydraContext(config_loader=config_loader, callbacks=Callbacks()), Task(Path.cwd()), config
        )
        for job in launcher.launch(absolute, initial_job_idx=0):
            if job.status == JobStatus.FAILED:
                print(f"{' '.join(job.overrides or [])}:", file=sys.stderr)
                traceback.print_exception(job._return_value)


@contextmanager
def _application() -> Iterator[ConfigLoader]:
    """The running Hydra application's config loader. If none is running, Hydra is initialised while the block runs."""
    if not GlobalHydra.instance().is_initialized():
        with initialize_config_dir(str(CONF), version_base="1.3"), _application() as config_loader:
            yield config_loader
        return
    yield GlobalHydra.instance().config_loader()


def composed_with(overrides: list[str]) -> DictConfig:
    """The configuration with the key `hydra`. Raises InputError if the launcher's plugin is not installed."""
    try:
        return composed(overrides)
    except MissingConfigException as error:
        missing = (error.missing_cfg_file or "").rpartition("hydra/launcher/")[2]
        extra = {"submitit_slurm": "slurm", "ray": "ray"}.get(missing)
        if extra is None:
            raise
        raise InputError(
            f"hydra/launcher={extra}: its plugin is not installed. pip install 'ablate-resnet[{extra}]'"
        ) from error
