"""What a design's network costs, and how each choice changes the cost. Nothing is trained or allocated."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from ablate.configuration.composition import CONF, Composition, axes, composed
from ablate.configuration.fingerprint import BUNDLES
from ablate.configuration.refusals.wording import explained
from ablate.design.cost import Cost, cost
from ablate.design.network import Network
from ablate.design.whole_cost import whole_cost
from ablate.errors import InputError, reason
from ablate.training.assembly import network, network_on_meta
from ablate.training.settings import check_values

# The values that a network is built from. No other axis changes it, and of the data only _NETWORK_DATA matter.
_VALUES = ("conv_bias", "padding")  # plain values, not axes
NETWORK_AXES = (
    *("data", "model", "block", "shortcut", "norm", "placement", "activation", "stem", "transition", "head"),
    *_VALUES,
)
_NETWORK_DATA = ("channels", "image_size", "num_classes")


def network_parts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that a network is built from."""
    own = {axis: values[axis] for axis in NETWORK_AXES if axis in values}
    return own | {"data": {key: values["data"][key] for key in _NETWORK_DATA}}


def description(composition: Composition) -> dict[str, Any]:
    """What the network of `composition` costs, in total and for each stage, and what each choice changes.

    params            trainable parameters
    buffers           norm statistics
    macs              multiply-adds of one forward of one image of the data's size
    activation_bytes  what that forward keeps for the backward, in float32
    stages            the same for stem, stage1, …, head, with the output shape of each
    overrides         as typed
    choices           {axis: option}
    differences       one entry for each axis that differs from the default: `choice`, `default`, `chosen`; the
                      `values` that differ from those of the chosen option; and by how much the choice changes
                      `params` and `macs`, compared with the default and all else the same. These are null if the
                      default clashes with the other choices; `clash` then says why

    Raises InputError for a design that cannot be trained. Machine and data are not checked.
    """
    composition.check_types()
    cfg = _resolved(composition.cfg)
    check_values(cfg)
    total, stages = _cost(composition.cfg)
    return {
        "overrides": composition.overrides,
        "image": _image(cfg),
        "classes": cfg.data.num_classes,
        **{key: value for key, value in asdict(total).items() if key != "shape"},
        "stages": [{"name": name} | asdict(stage) for name, stage in stages.items()],
        "choices": composition.choices,
        "differences": list(_differences(composition, cfg, total)),
    }


def experiments(composition: Composition) -> list[dict[str, Any]]:
    """Name, source, image shape, classes, parameters and multiply-adds of every file in conf/experiment, sorted by
    source. Raises InputError if the typed overrides clash with one of them.
    """
    rows = []
    for file in (CONF / "experiment").glob("*.yaml"):
        cfg = composed([*composition.overrides, f"experiment={file.stem}"])
        try:
            total, _ = _cost(cfg)
        except InputError as error:
            raise InputError(f"experiment={file.stem}: {error}") from error
        row: dict[str, Any] = {"experiment": file.stem, "source": _first_sentence(file), "image": _image(cfg)}
        rows.append(row | {"classes": cfg.data.num_classes, "params": total.params, "macs": total.macs})
    return sorted(rows, key=lambda row: _naturally(row["source"]))


def _naturally(text: str) -> list[str | int]:
    """A sort key that puts ResNet-20 before ResNet-110."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _image(cfg: DictConfig) -> list[int]:
    return [cfg.data.channels, cfg.data.image_size, cfg.data.image_size]


def _first_sentence(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[2:] for line in lines if line.startswith("# ") and not line.startswith("# @package"))
    return re.split(r"(?<!\bal)\.(?:\s|$)", comment)[0]


def _differences(composition: Composition, cfg: DictConfig, total: Cost) -> Iterator[dict[str, Any]]:
    defaults = composed([])
    known = {str(_network_values(cfg)): total}  # an axis outside the network needs no second network
    for change in _choices_apart(composition, axes(defaults)):
        try:
            before = _set_back(composition, change["choice"], change["default"], defaults)
            values = str(_network_values(_resolved(before)))
            if values not in known:
                known[values], _ = _cost(before)
            was = known[values]
            yield change | {"params": total.params - was.params, "macs": total.macs - was.macs}
        except (InputError, HydraException, OmegaConfBaseException) as error:
            yield change | {"params": None, "macs": None, "clash": explained(error)}


def _choices_apart(composition: Composition, defaults: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    """Each axis where the composition differs from the defaults: default and chosen option, and changed values."""
    # An experiment and a recipe are left out: each of the choices that it makes is listed.
    chosen = {a: option for a, option in composition.choices.items() if a in defaults and a not in BUNDLES}
    own = _network_values(composed(_typed(chosen, defaults)))
    changed = {key: value for key, value in _network_values(composition.cfg).items() if own.get(key) != value}
    for axis in sorted(chosen, key=_place):
        values = {key: value for key, value in changed.items() if key.startswith(f"{axis}.")}
        if values or chosen[axis] != defaults[axis]:
            yield {"choice": axis, "default": defaults[axis], "chosen": chosen[axis], "values": values}
    for key in _VALUES:
        if key in changed:
            yield {"choice": key, "default": own[key], "chosen": changed[key], "values": {}}


def _set_back(composition: Composition, choice: str, default: Any, defaults: DictConfig) -> DictConfig:
    """The same configuration with one axis, or one of _VALUES, set to its default."""
    default_choices = axes(defaults)
    if choice not in default_choices:
        return OmegaConf.create(_values(composition.cfg) | {choice: default})
    typed = composition.overridden
    kept = [text for key, text in typed.items() if key != choice and not key.startswith(f"{choice}.")]
    # An option may choose options of other axes (a model its block). Typing those keeps them.
    pinned = {a: option for a, option in composition.choices.items() if a in default_choices and a not in typed}
    kept += _typed(pinned | {choice: default}, default_choices)
    values = _values(composed(kept))
    # An experiment's values for the option that it chose were merged into the default option too: drop them.
    values.pop(choice, None)
    return OmegaConf.create(values | {k: v for k, v in _values(defaults).items() if k == choice})


def _typed(choices: dict[str, str | None], defaults: dict[str, str | None]) -> list[str]:
    """The choices as overrides. Hydra cannot set an axis to null, so such an axis is deleted."""
    typed = [f"{axis}={option}" for axis, option in choices.items() if option is not None]
    return typed + [f"~{a}" for a, option in choices.items() if option is None and defaults[a] is not None]


def _network_values(cfg: DictConfig) -> dict[str, Any]:
    """The values that a network is built from, by path, resolved only if `cfg` is."""

    def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from leaves(f"{path}.{key}", item)
        else:
            yield path, value

    values = {key: value for key, value in _values(cfg).items() if _first(key) in NETWORK_AXES}
    data = [f"data.{key}" for key in _NETWORK_DATA]
    flat = dict(leaf for key, value in values.items() for leaf in leaves(key, value))
    return {key: value for key, value in flat.items() if _first(key) != "data" or key in data}


def _first(path: str) -> str:
    return path.split(".")[0]


def _place(axis: str) -> int:
    return NETWORK_AXES.index(axis) if axis in NETWORK_AXES else len(NETWORK_AXES)


def _values(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, not resolved, without the key `hydra`."""
    values = OmegaConf.to_container(cfg)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def _resolved(cfg: DictConfig) -> DictConfig:
    plain = OmegaConf.create(_values(cfg))
    OmegaConf.resolve(plain)
    return plain


def _cost(cfg: DictConfig) -> tuple[Cost, dict[str, Cost]]:
    return network_cost(network_on_meta(cfg), cfg)


def network_cost(net: nn.Module, cfg: DictConfig, stages: Sequence[int] | None = None) -> tuple[Cost, dict[str, Cost]]:
    """The cost of `net`, which is on the meta device, and of its stages or child modules by name.

    cfg     the configuration that `net` was built from
    stages  see `design.cost`

    Raises InputError if its forward fails for images of the data's size.
    """
    channels, size = cfg.data.channels, cfg.data.image_size
    if isinstance(net, Network):
        return cost(net, channels, size, stages)
    try:
        with suppress(Exception):  # some networks need the values of tensors, which meta tensors do not have
            return whole_cost(net, channels, size)
        with torch.random.fork_rng(devices=[]):
            return whole_cost(network(cfg), channels, size)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"model: the network cannot process images of {channels}x{size}x{size}: {reason(error)}"
        ) from error
