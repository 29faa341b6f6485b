"""A model option with a `_target_`: it is the whole network, and of the parts of this project's own networks it has
those that its file refers to, by `${norm}` and the like."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ablate.errors import InputError

# What this project's own networks are made of, and nothing else reads.
PARTS = (
    *("block", "shortcut", "norm", "stem", "transition", "head", "placement", "activation", "init"),
    *("conv_bias", "padding"),
)
_NAME = re.compile(r"(\.*)([A-Za-z_]\w*)[\w.]*")


def is_whole(values: Mapping[str, Any]) -> bool:
    """Whether the model of these values is a network by itself."""
    model = values.get("model")
    return isinstance(model, Mapping) and "_target_" in model


def unused(values: Mapping[str, Any]) -> frozenset[str]:
    """Those of `PARTS` that have no part in the configuration's network.

    values  not resolved: a part has one where anything that has one refers to it
    """
    if not is_whole(values):
        return frozenset()
    used: set[str] = set()
    left = [key for key in values if key not in PARTS]
    while left:
        key = left.pop()
        used.add(key)
        left += [name for name in _referred_to(values[key], (key,)) if name in values and name not in used]
    return frozenset(PARTS) - used


def absent(values: Mapping[str, Any]) -> frozenset[str]:
    """Those of `PARTS` that a run's resolved configuration does not have, since its network has no such part."""
    return frozenset(PARTS) - values.keys() if is_whole(values) else frozenset()


def without(values: dict[str, Any], unused: frozenset[str]) -> dict[str, Any]:
    """The values of what has a part in the run."""
    return {key: value for key, value in values.items() if key not in unused} if unused else values


def concerns(key: str, unused: frozenset[str]) -> bool:
    """Whether an axis or a dotted path is one of `unused`, or a value of it."""
    return key.partition(".")[0] in unused


def check_typed(typed: Iterable[str], option: str | None, unused: frozenset[str]) -> None:
    """Raise InputError for an axis, or a value of it, that was typed and has no part in the network.

    typed   keys of overrides
    option  of the model, as it was chosen
    """
    if wrong := [key for key in typed if concerns(key, unused)]:
        used = [part for part in PARTS if part not in unused]
        uses = f"it uses {', '.join(used)}" if used else f"of {', '.join(PARTS)} it uses none"
        raise InputError(f"model={option} does not use {wrong[0].partition('.')[0]}; {uses}. Leave out {wrong[0]}.")


def _referred_to(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The outermost keys to which interpolations within `value`, which stands at `path`, refer."""
    if isinstance(value, str):
        if "${" in value:
            for dots, name in _NAME.findall(value):
                yield (*path[: -len(dots)], name)[0] if dots else name
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _referred_to(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _referred_to(item, (*path, str(number)))
