"""From a resolved configuration to the objects that it names."""

from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from ablate.design.network import Network
from ablate.design.placement import Parts
from ablate.training.data import Images
from ablate.training.module import Classifier
from ablate.training.seeds import stream


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


def initialised_network(cfg: DictConfig) -> Network:
    """The network with the weights that `cfg.seed` and `cfg.init` give it, the same on every machine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(cfg.seed, "parts").initial_seed())  # for parts that fill parameters of their own
        net = network(cfg)
    part(cfg.init)(net, lambda layer: stream(cfg.seed, f"initialisation of {layer}"))
    return net.to(memory_format=torch.channels_last) if cfg.channels_last else net


def classifier(cfg: DictConfig, net: Network) -> Classifier:
    return Classifier(
        net,
        classes=cfg.data.num_classes,
        label_smoothing=cfg.label_smoothing,
        optimizer=part(cfg.optimizer),
        schedule=part(cfg.schedule),
        weight_decay_on=cfg.weight_decay_on,
    )


def images(cfg: DictConfig) -> Images:
    return part(cfg.data)
