"""From a configuration to the network that it names, without the packages that training needs."""

import inspect
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from ablate.design.convolution import PADDINGS
from ablate.design.network import Network
from ablate.design.placement import Parts
from ablate.errors import ImageSizeError, InputError, nearest

_HYDRAS_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")

# What `data.image_size` a refusal may name, the smallest that fits.
SIZES = (32, 64, 128, 256, 512, 1024)


def part(cfg: DictConfig) -> Any:
    """The object that `cfg` names by its _target_.

    Raises InputError for an argument that the target does not take.
    """
    takes = inspect.signature(get_object(cfg["_target_"])).parameters
    if not any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in takes.values()):
        for key in map(str, cfg):
            if key not in takes and key not in _HYDRAS_KEYS:
                raise InputError(
                    f"{key}={cfg[key]}: {cfg['_target_']} does not take it.{nearest(key, takes)} It takes"
                    f" {', '.join(takes)}."
                )
    return instantiate(cfg, _convert_="all")


def network(cfg: DictConfig) -> Network:
    """The network that `cfg` describes, with torch's own initial weights.

    Raises InputError where two of its choices clash; where the images are too small, it names a size that fits. What
    depends on the size, as `stem=auto` does, must not be resolved in `cfg` for that.
    """
    try:
        return _network(cfg)
    except ImageSizeError as error:
        size = _fitting_size(cfg)
        raise InputError(f"{error} data.image_size={size} fits." if size else str(error)) from error


def _fitting_size(cfg: DictConfig) -> int | None:
    """The smallest of SIZES at which the same choices make a network."""
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
