"""Builds what training needs from a resolved configuration: the initialised network and the data; checks the recipe."""

from contextlib import suppress

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from ablate.design.forward import forward
from ablate.design.network import Network
from ablate.errors import InputError, reason
from ablate.training.assembly import network, own_init, part
from ablate.training.epoch import check_epoch
from ablate.training.images.common import Images
from ablate.training.images.own import Data, data_of
from ablate.training.objective import named
from ablate.training.seeds import seed_of, stream
from ablate.training.settings import check_validated


def initialised_network(cfg: DictConfig) -> nn.Module:
    """The network with its initial weights. They depend on the seed alone, and are the same on every machine."""
    seed = seed_of(cfg, "init")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "parts").initial_seed())  # for parts that initialise their own parameters
        net = network(cfg)
    if (init := own_init(cfg)) is not None:
        part(init)(net, lambda layer: stream(seed, f"initialisation of {layer}"))
    if not isinstance(net, Network):
        _note_order(net, cfg)
    return net.to(memory_format=torch.channels_last) if has_channels_last(net, cfg) else net


def has_channels_last(net: nn.Module, cfg: DictConfig) -> bool:
    """Whether `net` and its images use torch's channels-last memory format.

    This project's networks do if `channels_last` is set. Any other network must also gain from it, which means that
    convolutions do most of its multiply-adds, and accept such images.
    """
    if not cfg.channels_last or isinstance(net, Network):
        return bool(cfg.channels_last)
    with suppress(Exception):  # it refuses such images, as `view` does, or cannot run on the meta device
        return forward(net, _shape(cfg), torch.channels_last).convolutional
    return False


def lay_out(data: Data, net: nn.Module, cfg: DictConfig) -> None:
    """Give the batches of `data` the memory format of the network's weights."""
    if isinstance(data, Images) and data.channels_last:
        data.channels_last = has_channels_last(net, cfg)


def _note_order(net: nn.Module, cfg: DictConfig) -> None:
    """Store the order in which the network reads its parameters (`order_of_parameters`), if it runs on the meta
    device."""
    with suppress(Exception):  # on the meta device the user's code may raise anything
        net.order_of_parameters = forward(net, _shape(cfg), torch.contiguous_format).order  # type: ignore[assignment]


def _shape(cfg: DictConfig) -> tuple[int, int, int]:
    return cfg.data.channels, cfg.data.image_size, cfg.data.image_size


def check_recipe(cfg: DictConfig) -> bool:
    """Check optimizer, schedule, loss and metrics without a network. Returns whether the schedule needs validations.

    Raises InputError for one that refuses its values, and for a schedule that needs validations that are switched off.
    """
    if "init" in cfg:
        part(cfg.init)
    named.check(cfg, None)
    if cfg.result == "best":
        named.best_by(cfg)
    by_validation = _goes_by_validation(cfg)
    if by_validation:
        check_validated(f"schedule={cfg.schedule._target_.rpartition('.')[2]}", cfg.trainer)
    return by_validation


def check_validations(cfg: DictConfig, data: Data, outputs: int | None = None) -> None:
    """Raise InputError if loss or metrics cannot use the labels with this number of network `outputs`, or if there are
    too few batches for a validation that the run needs. The data must be set up."""
    named.check(cfg, data.labels, outputs)
    check_epoch(cfg, data.batches, _goes_by_validation(cfg))


def _goes_by_validation(cfg: DictConfig) -> bool:
    """Whether the schedule needs validations. Raises InputError for an optimizer or a schedule that refuses its
    values."""
    new_optimizer, new_schedule = part(cfg.optimizer), named.schedule(cfg)
    try:
        optimizer = new_optimizer([torch.nn.Parameter(torch.zeros(1))])
        schedulers = new_schedule(optimizer, 10 * cfg.trainer.max_epochs, 10)
    except (InputError, HydraException):
        raise
    except Exception as error:  # a library's or a user's class may raise anything for a value that it refuses
        raise InputError(f"optimizer or schedule: {reason(error)}") from error
    return any("monitor" in scheduler for scheduler in schedulers)


def images(cfg: DictConfig) -> Data:
    """The data that the configuration names, not read yet. Raises InputError for values that they refuse."""
    try:
        return data_of(cfg.data)
    except (InputError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        raise InputError(f"data: {reason(error)}") from error
