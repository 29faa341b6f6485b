"""Builds the network that a configuration describes. Imports no package that only training needs."""

import inspect
import logging
from collections.abc import Callable, Collection
from typing import Any

import torch
from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.nn.parameter import UninitializedParameter

from ablate.configuration.whole import is_whole
from ablate.design.convolution import PADDINGS
from ablate.design.network import Network
from ablate.design.placement import Parts
from ablate.errors import ImageSizeError, InputError, not_taken, reason
from ablate.process.importing import missing

_HYDRAS_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")

# The image sizes that a message may suggest: the smallest one that fits.
SIZES = (32, 64, 128, 256, 512, 1024)


def part(cfg: DictConfig, lacks: Collection[str] = ()) -> Any:
    """Instantiate `cfg`, which has a _target_.

    lacks  names of arguments that are passed later, when the object is called

    Raises InputError for a target that cannot be imported, for an argument that it (or a target inside) does not take,
    and for a required argument that is missing.
    """
    _check_arguments(cfg, cfg._get_full_key(""), lacks)
    return instantiate(cfg, _convert_="all")


def _check_arguments(cfg: DictConfig, path: str, lacks: Collection[str] = ()) -> None:
    target = called(cfg, path)
    takes = inspect.signature(target).parameters
    takes_any = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in takes.values())
    known = _all_parameters(target) if takes_any else takes
    for key in map(str, cfg):
        if known is not None and key not in known and key not in _HYDRAS_KEYS:
            raise not_taken(f"{path}.{key}", cfg[key], cfg["_target_"], known)
        if isinstance(cfg[key], DictConfig) and "_target_" in cfg[key]:
            _check_arguments(cfg[key], f"{path}.{key}")
    # A partial gets its other arguments by position when it is called.
    by_name = {name for name, taken in takes.items() if taken.kind == inspect.Parameter.KEYWORD_ONLY}
    for name in sorted(by_name if cfg.get("_partial_") else ()):
        if takes[name].default is inspect.Parameter.empty and name not in cfg and name not in lacks:
            raise InputError(f"{path}.{name} is missing: {cfg['_target_']} needs it. Leave out ~{path}.{name}.")


def called(cfg: DictConfig, path: str) -> Callable[..., Any]:
    """The function or class that the _target_ names. Raises InputError if there is none."""
    name = cfg.get("_target_")
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}._target_={name!r}: write the name of a class or function, such as torch.nn.ReLU.")
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it would log the same error
    try:
        target = get_object(name)
        inspect.signature(target)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}._target_={name}: {missing(name, error)}") from error
    return target


def _all_parameters(target: Callable[..., Any]) -> dict[str, Any] | None:
    """The parameters of a class that passes `**arguments` to its base class; None if it may take any others."""
    if not inspect.isclass(target):
        return None
    known: dict[str, Any] = {}
    for one in target.__mro__:
        takes = inspect.signature(vars(one)["__init__"]).parameters if "__init__" in vars(one) else {}
        known |= {name: taken for name, taken in takes.items() if taken.kind != inspect.Parameter.VAR_KEYWORD}
        if takes and len(takes) == sum(taken.kind != inspect.Parameter.VAR_KEYWORD for taken in takes.values()):
            known.pop("self", None)
            return known
    return None


def network(cfg: DictConfig) -> nn.Module:
    """The network that `cfg` describes: this project's `Network`, or what the model's _target_ returns. Its weights are
    torch's initial ones, or those that its own code sets.

    Raises InputError if two choices clash, if the user's code raises (with its line), and if the images are too small.
    The message then names a size that fits; for that, what depends on the size (`stem=auto`) must not be resolved in
    `cfg`.
    """
    try:
        return _whole(cfg) if is_whole(cfg) else _network(cfg)
    except ImageSizeError as error:
        size = _fitting_size(cfg)
        raise InputError(f"{error} data.image_size={size} fits." if size else str(error)) from error
    except InstantiationException as error:
        if not is_whole(cfg) or isinstance(error.__cause__, InputError):
            raise
        raise InputError(f"model: the network cannot be built: {reason(error.__cause__ or error)}") from error
    except (InputError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:  # torch, or a part that the user wrote, refuses a value
        raise InputError(f"No network can be built from these choices: {reason(error)}") from error


def network_on_meta(cfg: DictConfig) -> nn.Module:
    """The network without weights, on the meta device. Raises InputError as `network` does."""
    try:
        with torch.device("meta"):
            return network(cfg)
    except InputError:
        if not is_whole(cfg):
            raise
    # Its constructor may need the values of tensors, which meta tensors do not have. Otherwise this raises again.
    with torch.random.fork_rng(devices=[]):
        return network(cfg).to("meta")


def own_init(cfg: DictConfig) -> DictConfig | None:
    """The initialiser of the network. For this project's networks it is the axis `init`. For any other it is the key
    `init` in the model's file, if that has a _target_, and is not passed to the network. None: the network sets its own
    weights."""
    if not is_whole(cfg):
        return cfg.init
    found = cfg.model.get("init")
    return found if isinstance(found, DictConfig) and "_target_" in found else None


def _whole(cfg: DictConfig) -> nn.Module:
    """What the model's _target_ returns. Raises InputError if it is not a module."""
    values = OmegaConf.to_container(cfg.model, resolve=True)
    assert isinstance(values, dict)
    if own_init(cfg) is not None:
        del values["init"]
    made = part(OmegaConf.create({"model": values}).model)
    if not isinstance(made, nn.Module):
        raise InputError(
            f"model._target_={values['_target_']}: it returns {type(made).__name__}; a torch.nn.Module is expected."
        )
    if lazy := [name for name, p in made.named_parameters() if isinstance(p, UninitializedParameter)]:
        raise InputError(
            f"model: the size of {lazy[0]} is not known before images go through the network. Give the lazy layer's"
            " usual kind its number of inputs, or call the network once on an image at the end of its __init__."
        )
    return made


def _fitting_size(cfg: DictConfig) -> int | None:
    """The smallest of SIZES with which the network can be built; None if there is none."""
    larger = cfg.copy()
    for size in SIZES:
        OmegaConf.update(larger, "data.image_size", size)
        try:
            with torch.device("meta"):
                _network(larger)
            return size
        except InputError:
            continue
    return None


def _network(cfg: DictConfig) -> Network:
    return Network(
        channels=cfg.data.channels,
        size=cfg.data.image_size,
        classes=cfg.data.num_classes,
        stages=cfg.model.stages,
        widths=cfg.model.widths,
        stem=part(cfg.stem),
        transition=part(cfg.transition),
        head=part(cfg.head),
        branch=part(cfg.block),
        placement=part(cfg.placement),
        shortcut=part(cfg.shortcut),
        parts=Parts(
            norm=part(cfg.norm),
            activation=part(cfg.activation),
            conv_bias=cfg.conv_bias,
            padding=PADDINGS[cfg.padding],
        ),
    )
