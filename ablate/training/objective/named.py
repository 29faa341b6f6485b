"""What is minimised, measured and gone by, as a configuration names it, and the Lightning module that does it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torchmetrics import Metric

from ablate.errors import InputError, reason
from ablate.training.assembly import called, part
from ablate.training.goal import KNOWN, MAXIMIZE, MINIMIZE, goal_of

# What a run calls of a module, and for what.
_METHODS = {
    "training_step": "returns the loss of a batch",
    "configure_optimizers": "returns the optimizer",
    "test_step": "logs what a run is compared by, as self.log('test/loss', …)",
}

CHECKED = 8  # labels on which loss and metrics are tried


class Monitor(NamedTuple):
    """A metric of the validation, and whether more of it is better: maximize or minimize."""

    name: str
    goal: str

    @property
    def sign(self) -> int:
        return 1 if self.goal == MAXIMIZE else -1


def given_what_it_takes(cfg: DictConfig, path: str, offered: Mapping[str, Any]) -> DictConfig:
    """`cfg` with those of the `offered` values that its target takes and that are not there."""
    takes = inspect.signature(called(cfg, path)).parameters
    added = {key: value for key, value in offered.items() if key in takes and key not in cfg}
    if not added:
        return cfg
    values = OmegaConf.to_container(cfg, resolve=True)  # plain, since a composed configuration takes no new keys
    assert isinstance(values, dict)
    return OmegaConf.create({**values, **added})


def loss(cfg: DictConfig) -> Any:
    """The loss, called with scores and labels: what the _target_ makes, or itself where it is a function of these two.

    Raises InputError for label smoothing that it does not take.
    """
    made = given_what_it_takes(cfg.loss, "loss", {"label_smoothing": cfg.label_smoothing})
    if cfg.label_smoothing and "label_smoothing" not in made:
        raise InputError(
            f"label_smoothing={cfg.label_smoothing}: {cfg.loss._target_} does not take it. Leave it out, or use"
            " loss=cross_entropy."
        )
    later = {"_partial_": True} if _is_called_later(called(cfg.loss, "loss"), made) else {}
    return part(_placed(OmegaConf.merge(made, later), "loss"))


def _is_called_later(target: Callable[..., Any], given: DictConfig) -> bool:
    """Whether it is a function that lacks two of its arguments: scores and labels."""
    if inspect.isclass(target):
        return False
    takes = inspect.signature(target).parameters.values()
    is_one = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [taken for taken in takes if taken.kind in is_one and taken.default is inspect.Parameter.empty]
    return len([taken for taken in needed if taken.name not in given]) == 2


def metrics(cfg: DictConfig) -> dict[str, Metric]:
    """The metrics by their names. One that takes a number of classes or labels has that of the outputs.

    Raises InputError for what is no metric of torchmetrics.
    """
    found = {}
    for name, entry in cfg.metrics.items():
        if entry is None:
            continue
        if not isinstance(entry, DictConfig) or not str(name).isidentifier() or name == "loss":
            raise InputError(
                f"metrics.{name}={entry}: a name other than loss, and a metric of torchmetrics as a mapping with its"
                " _target_, are expected."
            )
        outputs = dict.fromkeys(("num_classes", "num_labels"), cfg.data.num_classes)
        metric = part(_placed(given_what_it_takes(entry, f"metrics.{name}", outputs), f"metrics.{name}"))
        if metric is None:  # there are too few classes for it
            continue
        if not isinstance(metric, Metric):
            raise InputError(f"metrics.{name}: {entry['_target_']} is no metric of torchmetrics.")
        found[str(name)] = metric
    return found


def best_by(cfg: DictConfig) -> Monitor:
    """What the best weights are chosen by: `monitor`, or the accuracy where it is measured, or the loss."""
    usual = "val/acc" if cfg.metrics.get("acc") is not None else "val/loss"
    return _monitor(cfg, usual if cfg.monitor == "auto" else cfg.monitor)


def schedule_by(cfg: DictConfig) -> Monitor:
    """What a schedule goes by that goes by the validation: `monitor`, or the loss."""
    return _monitor(cfg, "val/loss" if cfg.monitor == "auto" else cfg.monitor)


def _monitor(cfg: DictConfig, name: str) -> Monitor:
    if not str(name).startswith("val/"):
        raise InputError(f"monitor={name}: a metric of the validation is expected, such as val/loss.")
    if cfg.monitor_goal is not None:
        return Monitor(name, cfg.monitor_goal)
    entry = cfg.metrics.get(name.removeprefix("val/"))
    if entry is not None and name not in ("val/acc", "val/acc_top5"):
        higher = metrics(cfg)[name.removeprefix("val/")].higher_is_better
        if higher is not None:
            return Monitor(name, MAXIMIZE if higher else MINIMIZE)
    try:
        return Monitor(name, goal_of(name))
    except InputError as error:
        said = "is more of it better, or less? Say monitor_goal=maximize or minimize."
        raise InputError(f"monitor={name}: {said}") from error


def goals(cfg: DictConfig) -> dict[str, str]:
    """maximize or minimize of every metric that says which, and of the monitor, by name; of metrics of this package's
    own everybody knows it."""
    found = {}
    ways = {name: metric.higher_is_better for name, metric in metrics(cfg).items()}
    if cfg.monitor_goal is not None and cfg.monitor != "auto":
        ways[str(cfg.monitor).removeprefix("val/")] = cfg.monitor_goal == MAXIMIZE
    for name, is_higher in ways.items():
        for metric in (f"{split}/{name}" for split in ("train", "val", "test")):
            if is_higher is not None and metric not in KNOWN:
                found[metric] = MAXIMIZE if is_higher else MINIMIZE
    return found


def schedule(cfg: DictConfig) -> Any:
    """The schedule; one that goes by a metric is told which, and which way is up."""
    offered = {}
    if "monitor" in inspect.signature(called(cfg.schedule, "schedule")).parameters:
        by = schedule_by(cfg)
        offered = {"monitor": by.name, "mode": "max" if by.goal == MAXIMIZE else "min"}
    return part(_placed(given_what_it_takes(cfg.schedule, "schedule", offered), "schedule"))


def module(cfg: DictConfig, network: nn.Module) -> pl.LightningModule:
    """The Lightning module that trains `network`: called with it, and with those of these that it takes.

    loss, metrics  as `loss` and `metrics` return them
    optimizer      called with parameters, or groups of them
    schedule       called with the optimizer, the number of optimizer steps, and of batches in an epoch
    monitor        what the best weights are chosen by
    num_classes, weight_decay_on  as configured

    Raises InputError for what is no Lightning module.
    """
    target = called(cfg.module, "module")
    takes = inspect.signature(target).parameters
    offered = {
        "loss": lambda: loss(cfg),
        "metrics": lambda: metrics(cfg),
        "optimizer": lambda: part(cfg.optimizer),
        "schedule": lambda: schedule(cfg),
        "monitor": lambda: best_by(cfg),
        "num_classes": lambda: cfg.data.num_classes,
        "weight_decay_on": lambda: cfg.weight_decay_on,
    }
    own = part(_placed(OmegaConf.merge(cfg.module, {"_partial_": True}), "module"), lacks=tuple(offered))
    try:
        made = own(network, **{name: make() for name, make in offered.items() if name in takes})
    except (InputError, HydraException):
        raise
    except Exception as error:  # whatever a class of the user's does with what it is given
        raise InputError(f"module: {reason(error)}") from error
    if not isinstance(made, pl.LightningModule):
        raise InputError(f"module._target_={cfg.module._target_}: a LightningModule is expected.")
    for method, what in _METHODS.items():
        if not is_overridden(method, made):
            raise InputError(f"module: {cfg.module._target_} has no {method}, which {what}.")
    return made


def check(cfg: DictConfig, labels: Tensor | None, outputs: int | None = None) -> None:
    """Raise InputError for a loss or metrics that do not fit each other's labels, or are no numbers.

    labels: the training set's, of which a few are tried; None where nobody knows them yet.
    outputs: how many scores an image has; None: data.num_classes.
    """
    made, measured = loss(cfg), metrics(cfg)
    if labels is None:
        return
    labels = labels[:CHECKED]
    scores = torch.zeros(len(labels), outputs or cfg.data.num_classes)
    _tried("loss", made, scores, labels)
    for name, metric in measured.items():
        if hasattr(metric, "validate_args"):  # which costs too much in a training
            metric.validate_args = True
        _tried(f"metrics.{name}", metric, scores, labels)


def _tried(path: str, function: Any, scores: Tensor, labels: Tensor) -> None:
    try:
        value = function(scores, labels)
    except InputError:
        raise
    except Exception as error:  # of many kinds
        given = f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)} of {labels.dtype}"
        raise InputError(f"{path} does not go with these labels ({given}): {reason(error)}") from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise InputError(f"{path} is not one number but {value}: a mean over classes or outputs is expected.")


def _placed(cfg: Any, path: str) -> DictConfig:
    """`cfg` such that messages say where it stands."""
    whole = OmegaConf.create({})
    OmegaConf.update(whole, path, cfg, force_add=True)
    return OmegaConf.select(whole, path)
