"""Makes Lightning's Trainer: sets what a run needs, and checks what the user adds."""

import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks import Callback, ProgressBar, Timer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ablate.errors import InputError, not_taken, reason, say
from ablate.training.goal import KNOWN
from ablate.training.progress import progress
from ablate.training.saving.checkpoints import PlainFiles

# Arguments of the Trainer that the run sets itself, and what you can do instead.
SET_BY_THE_RUN = {
    "default_root_dir": "set runs_dir",
    "enable_checkpointing": "see checkpoint.every_n_epochs",
    "fast_dev_run": "use trainer.max_epochs=1 +trainer.limit_train_batches=1",
    "num_nodes": "it runs on one machine; see trainer.devices",
    "num_sanity_val_steps": "the first validation is after the first epoch",
    "use_distributed_sampler": "the data modules split every batch among the processes",
}
# Lightning's callbacks that change a result: they cannot be watchers.
MEDDLERS = (
    callbacks.BaseFinetuning,
    callbacks.EarlyStopping,
    callbacks.GradientAccumulationScheduler,
    callbacks.LearningRateFinder,
    callbacks.ModelPruning,
    callbacks.StochasticWeightAveraging,
    callbacks.WeightAveraging,
)
# Arguments that would not do here what they usually do.
NOT_TAKEN = {
    "overfit_batches": "every epoch would have different images. To overfit a few, use data.val_fraction=0.98"
    " data.batch_size=16 data.shift=0",
}


def check_trainer(cfg: DictConfig) -> None:
    """Raise InputError for arguments that Lightning's Trainer does not take, or that a run sets itself."""
    quieten()
    max_seconds(cfg.trainer)
    try:
        new_trainer(cfg, Path(), [], [])
    except (InputError, HydraException):
        raise
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise InputError(f"trainer: {' '.join(str(error).split())}") from error
    except Exception as error:  # Lightning, or a user's callback, may raise anything for a value that it refuses
        raise InputError(f"trainer: {reason(error)}") from error


def new_trainer(
    cfg: DictConfig,
    directory: Path,
    loggers: Sequence[Logger],
    run_callbacks: Sequence[Callback],
    progress: Callable[[bool], Callback] = progress,
) -> pl.Trainer:
    """The Trainer that the resolved `cfg.trainer` describes, with the user's and the run's loggers and callbacks.

    Raises InputError for arguments that the run sets itself, and what the Trainer raises.
    """
    takes = inspect.signature(pl.Trainer).parameters
    for name in map(str, cfg.trainer):
        if name not in takes and name != "_target_":
            raise not_taken(f"trainer.{name}", cfg.trainer[name], "Lightning's Trainer", takes)
    for name, advice in SET_BY_THE_RUN.items():
        if name in cfg.trainer:
            raise InputError(f"trainer.{name}={cfg.trainer[name]}: the run sets it itself; {advice}.")
    for name, why in NOT_TAKEN.items():
        if cfg.trainer.get(name):
            raise InputError(f"trainer.{name}={cfg.trainer[name]}: {why}.")
    if isinstance(cfg.trainer.get("logger"), bool):
        raise InputError(f"trainer.logger={cfg.trainer.logger}: to switch W&B off, use tracking=disabled.")
    given = instantiate(cfg.trainer, _partial_=True, _convert_="all")
    plugins = _listed(given.keywords.get("plugins"))
    if any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        raise InputError(
            "trainer.plugins: the run starts its processes itself, on one machine, and sets its own cluster"
            " environment. Leave yours out."
        )
    own = [*_of_the_user(given, "callbacks", Callback), *_watchers(cfg)]
    _check_monitors(own)
    _check_clocks(own, given.keywords.get("val_check_interval"))
    shown = progress(given.keywords.get("enable_progress_bar", True))
    is_bar, has_bar = isinstance(shown, ProgressBar), any(isinstance(callback, ProgressBar) for callback in own)
    return given(
        **{
            "enable_model_summary": False,
            **given.keywords,
            "logger": [*_of_the_user(given, "logger", Logger), *loggers],
            "callbacks": [*own, *run_callbacks, *([] if is_bar and has_bar else [shown])],
            "max_time": None,  # `saving.stopping` ends the run
            "default_root_dir": directory,
            "enable_progress_bar": is_bar or (has_bar and given.keywords.get("enable_progress_bar", True)),
            "num_sanity_val_steps": 0,
            "use_distributed_sampler": False,  # the data modules split every batch among the ranks
            # Always given: otherwise Lightning would detect Slurm, and requeue the job with its own checkpoint.
            "plugins": [*plugins, LightningEnvironment(), PlainFiles()],
        }
    )


def _check_monitors(own: Sequence[Callback]) -> None:
    """Raise InputError for a callback that goes by `auto`; warn of one that takes the worst for the best."""
    for callback in own:
        name, mode = getattr(callback, "monitor", None), getattr(callback, "mode", None)
        kind = type(callback).__name__
        if name == "auto":
            raise InputError(
                f"{kind}: monitor=${{monitor}} is the run's monitor, which is auto: add monitor=val/acc, or another"
                " metric."
            )
        goal = KNOWN.get(str(name))
        if goal and mode in ("min", "max") and not goal.startswith(mode):
            better, other = ("more", "max") if mode == "min" else ("less", "min")
            say(f"{kind}: monitor={name} mode={mode}: of this {better} is better. You may want mode={other}.")


def max_seconds(trainer: DictConfig) -> float | None:
    """`trainer.max_time` in seconds, from any form that Lightning takes; None if it is not set."""
    given = trainer.get("max_time")
    if given is None:
        return None
    value = instantiate(given, _convert_="all") if OmegaConf.is_config(given) else given
    if not isinstance(value, str | dict | timedelta):
        raise InputError(f"trainer.max_time={given}: write days, hours, minutes and seconds as 00:01:30:00.")
    try:
        return Timer(duration=value).time_remaining()
    except (MisconfigurationException, TypeError) as error:
        raise InputError(f"trainer.max_time={given}: {' '.join(str(error).split())}") from error


def _check_clocks(callbacks: Sequence[Callback], interval: Any) -> None:
    """Raise InputError for settings by which the machine's speed would decide when to end the training, or validate."""
    if any(isinstance(callback, Timer) and callback.time_remaining() is not None for callback in callbacks):
        raise InputError(
            "trainer.callbacks: a Timer ends the training at a step that depends on the machine's speed, and the run"
            " would count as finished. Use trainer.max_time, which interrupts it: the same command resumes it."
        )
    if interval is not None and not isinstance(interval, int | float):
        raise InputError(
            f"trainer.val_check_interval={interval} is a time: the machine's speed would decide when to validate. Use a"
            " number of batches, or a share of an epoch such as 0.5."
        )


def _of_the_user(given: Any, name: str, kind: type) -> list[Any]:
    """The objects that `trainer.<name>` adds. Raises InputError for one that is not a `kind`."""
    values = _listed(given.keywords.get(name))
    for value in values:
        if not isinstance(value, kind):
            raise InputError(
                f"trainer.{name}: {value!r} is not a Lightning {kind.__name__}. Write {{_target_: module.Class}},"
                " or a list of such mappings."
            )
    return values


def _watchers(cfg: DictConfig) -> list[Callback]:
    """The callbacks in `watchers`, which must not change the training. Raises InputError for one that does, or is not a
    callback."""
    watchers = [instantiate(entry, _convert_="all") for entry in cfg.get("watchers") or []]
    for watcher in watchers:
        if not isinstance(watcher, Callback):
            raise InputError(f"watchers: {watcher!r} is not a Lightning Callback.")
        if isinstance(watcher, MEDDLERS):
            raise InputError(
                f"watchers: {type(watcher).__name__} changes how a run is trained, which a watcher must not do. Use"
                " +trainer.callbacks=[…] instead: it is part of the fingerprint."
            )
    return watchers


def _listed(value: Any) -> list[Any]:
    """The values as a list: Lightning accepts one, several or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def quieten() -> None:
    """Silence what you cannot act on: Lightning's notes on hardware, and its advice on its own loaders."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*LeafSpec.*is deprecated.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # torchmetrics has reduced them over the ranks
        ".*`srun` command is available on your system but is not used.*",  # shown wherever Slurm is installed
    ):
        warnings.filterwarnings("ignore", message=message)
