"""From a resolved configuration to what trains it: initialised network, Lightning module, images."""

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
    """The network with the weights that the seed and its initialiser, or its own code, give it, the same on every
    machine."""
    seed = seed_of(cfg, "init")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "parts").initial_seed())  # for parts that fill parameters of their own
        net = network(cfg)
    if (init := own_init(cfg)) is not None:
        part(init)(net, lambda layer: stream(seed, f"initialisation of {layer}"))
    if not isinstance(net, Network):
        _note_order(net, cfg)
    return net.to(memory_format=torch.channels_last) if has_channels_last(net, cfg) else net


def has_channels_last(net: nn.Module, cfg: DictConfig) -> bool:
    """Whether `net` and its images lie in memory as `channels_last` says: of a network of the user's own where that
    helps, which is where most of what it computes are convolutions, and it takes such images."""
    if not cfg.channels_last or isinstance(net, Network):
        return bool(cfg.channels_last)
    with suppress(Exception):  # it refuses them, as `view` does, or cannot be asked without computing
        return forward(net, _shape(cfg), torch.channels_last).convolutional
    return False


def lay_out(data: Data, net: nn.Module, cfg: DictConfig) -> None:
    """Let the batches of `data` lie in memory as the network's weights do."""
    if isinstance(data, Images) and data.channels_last:
        data.channels_last = has_channels_last(net, cfg)


def _note_order(net: nn.Module, cfg: DictConfig) -> None:
    """Layers are told in the order in which they run, where that can be found out without computing."""
    with suppress(Exception):  # what the user's code raises on tensors without numbers, whatever it is
        net.order_of_parameters = forward(net, _shape(cfg), torch.contiguous_format).order  # type: ignore[assignment]


def _shape(cfg: DictConfig) -> tuple[int, int, int]:
    return cfg.data.channels, cfg.data.image_size, cfg.data.image_size


def check_recipe(cfg: DictConfig) -> bool:
    """Whether the schedule goes by validations.

    Raises InputError for an optimizer or a schedule that refuses its values, found on a parameter of no network, for
    one that goes by a validation which does not take place, and for a loss or metrics that cannot be had.
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
    """Raise InputError where the data, which are set up, have too few batches for what goes by a validation, or labels
    that loss and metrics do not fit, with so many `outputs` of the network."""
    named.check(cfg, data.labels, outputs)
    check_epoch(cfg, data.batches, _goes_by_validation(cfg))


def _goes_by_validation(cfg: DictConfig) -> bool:
    """Whether the schedule does. Raises InputError for an optimizer or a schedule that refuses its values."""
    new_optimizer, new_schedule = part(cfg.optimizer), named.schedule(cfg)
    try:
        optimizer = new_optimizer([torch.nn.Parameter(torch.zeros(1))])
        schedulers = new_schedule(optimizer, 10 * cfg.trainer.max_epochs, 10)
    except (InputError, HydraException):
        raise
    except Exception as error:  # whatever a library's, or a user's own, does with values that it cannot have
        raise InputError(f"optimizer or schedule: {reason(error)}") from error
    return any("monitor" in scheduler for scheduler in schedulers)


def images(cfg: DictConfig) -> Data:
    """Not read yet: those of a class here, of a function or a data module of the user's.

    Raises InputError for values that they refuse.
    """
    try:
        return data_of(cfg.data)
    except (InputError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        raise InputError(f"data: {reason(error)}") from error
