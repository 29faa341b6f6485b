"""Makes the data that a configuration names: a data module of this project, or your own function or data module."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from ablate.errors import InputError, not_taken
from ablate.training.assembly import called, part
from ablate.training.images.arrays import Arrays
from ablate.training.images.common import Images
from ablate.training.images.foreign import Foreign

# Keys of a data module's file that the run reads. The module need not take them as arguments.
_OF_THE_RUN = ("channels", "image_size", "num_classes", "root", "seed", "_target_", "_convert_", "_recursive_")


Data = Images | Foreign


def data_of(cfg: DictConfig) -> Data:
    """The data that `cfg` names, not read yet. Raises InputError for unknown keys."""
    target = called(cfg, "data")
    if not inspect.isclass(target):
        return _of_function(target, cfg)
    if not issubclass(target, pl.LightningDataModule):
        raise InputError(
            f"data._target_={cfg['_target_']}: a function that returns arrays, or a LightningDataModule, is expected."
        )
    return part(cfg) if issubclass(target, Images) else _of_module(target, cfg)


def _of_function(function: Callable[..., Any], cfg: DictConfig) -> Arrays:
    """The arrays that the function returns. It gets the keys that it has arguments for; Arrays gets the others."""
    values = _plain(cfg)
    takes = inspect.signature(function).parameters
    own = {key: value for key, value in values.items() if key in takes}
    if needs := [name for name, taken in takes.items() if _is_needed(taken) and name not in own]:
        raise InputError(
            f"data.{needs[0]} is missing: {cfg['_target_']} takes it. Write it into the file of your data, or give"
            f" +data.{needs[0]}=VALUE."
        )
    shared = _parameters(Arrays)
    rest = {key: value for key, value in values.items() if key in shared or key not in takes}
    for key in rest:
        if key not in shared:
            raise not_taken(f"data.{key}", values[key], cfg["_target_"], takes, shared)
    missing = [name for name, needed in shared.items() if needed and name not in rest]
    if missing:
        raise InputError(
            f"data.{missing[0]} is missing: start your data's file with `defaults: [arrays, _self_]`, which sets the"
            " usual values."
        )
    return Arrays(function=function, arguments=own, **{key: rest[key] for key in rest if key not in _reserved(own)})


def _is_needed(taken: inspect.Parameter) -> bool:
    is_one = taken.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return is_one and taken.default is inspect.Parameter.empty


def _reserved(own: Mapping[str, Any]) -> set[str]:
    """Keys of file names that the function takes itself: Arrays must not get them too."""
    return {key for key in ("images", "labels", "test_images", "test_labels") if key in own}


def _of_module(target: type[pl.LightningDataModule], cfg: DictConfig) -> Foreign:
    takes = inspect.signature(target).parameters
    takes_any = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in takes.values())
    given = cfg.copy()
    for key in [key for key in _OF_THE_RUN if not key.startswith("_") and key in given and key not in takes]:
        del given[key]
    for key in map(str, given if not takes_any else ()):
        if key not in takes and key not in _OF_THE_RUN:
            raise not_taken(f"data.{key}", given[key], cfg["_target_"], takes)
    return Foreign(part(given), seed=cfg.get("seed", 0), root=cfg.get("root"), num_classes=cfg["num_classes"])


def _plain(cfg: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if not str(key).startswith("_")}


def _parameters(target: type[Arrays]) -> dict[str, bool]:
    """The configuration keys that Arrays takes, and whether each is required."""
    found: dict[str, bool] = {}
    for one in target.__mro__:
        if one is pl.LightningDataModule:
            break
        for name, parameter in inspect.signature(vars(one)["__init__"]).parameters.items():
            if parameter.kind == inspect.Parameter.KEYWORD_ONLY:
                found[name] = parameter.default is inspect.Parameter.empty
    return {name: needed for name, needed in found.items() if name not in ("function", "arguments", "source")}
