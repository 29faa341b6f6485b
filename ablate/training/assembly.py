"""From a resolved configuration to the network that it names, without the packages that training needs."""

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ablate.design.network import Network
from ablate.design.placement import Parts


def part(cfg: Any) -> Any:
    return instantiate(cfg, _convert_="all")


def network(cfg: DictConfig) -> Network:
    """The network that `cfg` describes, with torch's own initial weights.

    Raises InputError where two of its choices clash.
    """
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
        parts=Parts(norm=part(cfg.norm), activation=part(cfg.activation), conv_bias=cfg.conv_bias),
    )
