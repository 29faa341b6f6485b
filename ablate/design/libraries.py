"""Networks of torchvision and timm by name, with random weights."""

import inspect
import sys
from typing import Any

from torch import Tensor, nn

from ablate.errors import InputError, nearest, not_taken

_COLOURS = 3  # channels that torchvision's networks read


def torchvision_model(name: str, *, channels: int, num_classes: int, **options: Any) -> nn.Module:
    """An image classifier of torchvision. A grey image is repeated in the three colour channels.

    options  further arguments of the model, such as dropout

    Raises InputError for a name that torchvision does not have, for images of neither one channel nor three, and for
    options that the model passes over in silence.
    """
    from torchvision import models

    _check_name("torchvision", name, models.list_models(module=models))
    if channels not in (1, _COLOURS):
        raise InputError(f"model=torchvision reads images of {_COLOURS} channels, or grey ones, not of {channels}.")
    network = models.get_model(name, weights=None, num_classes=num_classes, **options)
    takes = _taken(network)
    for key in options:
        if key not in takes:
            raise not_taken(f"model.{key}", options[key], f"torchvision's {name}", takes)
    if channels == 1:
        network.register_forward_pre_hook(_in_colours)
    return network


def timm_model(name: str, *, channels: int, num_classes: int, **options: Any) -> nn.Module:
    """A model of timm (pip install 'ablate-resnet[timm]').

    options  further arguments of the model: a vision transformer needs img_size if your images differ from its default

    Raises InputError for a name that timm does not have, and where timm is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError("model=timm needs timm: pip install 'ablate-resnet[timm]'.") from error
    if not timm.is_model(name):
        _check_name("timm", name, timm.list_models())
    return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=channels, **options)


def _check_name(library: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise InputError(
            f"model.name={name}: {library} has no such model.{nearest(str(name), known)} It has {len(known)}, such as"
            f" {', '.join(known[:: max(1, len(known) // 5)][:5])}."
        )


def _taken(network: nn.Module) -> list[str]:
    """The arguments of one of torchvision's networks: those of its class, and of the functions beside it that read some
    of the many and pass on the others."""
    beside = vars(sys.modules[type(network).__module__]).values()
    found = dict(inspect.signature(type(network)).parameters)
    for function in (one for one in beside if inspect.isfunction(one) and one.__module__ == type(network).__module__):
        takes = inspect.signature(function).parameters
        if function.__name__.startswith("_") and any(one.kind == one.VAR_KEYWORD for one in takes.values()):
            found |= takes
    unset = ("num_classes", "weights", "progress")  # said otherwise
    return [name for name, taken in found.items() if taken.kind != taken.VAR_KEYWORD and name not in unset]


def _in_colours(network: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0].expand(-1, _COLOURS, -1, -1)
