"""Turns the parameters that a W&B agent passes on the command line into overrides.

An agent starts the `command` of the sweep file once for each run. In it, `${args_json}` is one argument: the run's
parameters as JSON, every value exact. `${args_no_hyphens}` is `name=value` for each parameter, with Python's str() of
the value. Plain words, numbers and most lists survive that. But null becomes the word None, a mapping becomes
unreadable, and a string that looks like a number or a list becomes one.
"""

import json
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from ablate.configuration import agent, variant
from ablate.configuration.overrides import flattened, override
from ablate.errors import InputError

# A server may not set these: they decide where this machine reads and writes, and which code it runs.
KEPT_BACK = (
    "hydra",
    "agent",
    "runs_dir",
    "rerun",
    "data.root",
    "trainer.callbacks",
    "trainer.plugins",
    "trainer.logger",
)


def arguments(typed: Sequence[str]) -> list[str]:
    """The command line with parameters in JSON, and a `variant`, replaced by Hydra's overrides.

    Raises InputError for JSON or a variant that cannot be read, for values that `override` refuses, for the bare word
    None, and, under an agent, if a parameter's value differs from the one that the sweep chose.
    """
    written: list[str] = []
    for argument in typed:
        written += _overrides(_json(argument)) if argument.startswith("{") else [argument]
    written = variant.typed(written)
    read = [found for argument in written if (found := _read(argument)) is not None]
    for found in read:
        if _has_none(found._value):
            override(found.get_key_element(), "None")  # which refuses it
    for name, value in _of_agent().items():
        if not _arrives(name, override(name, value), read):
            raise InputError(
                f"{name}: the sweep chose {json.dumps(value, default=str)}, but the command line says something else."
                " End the `command` of the sweep file with ${args_json}, which passes every value exactly."
            )
    return written


def permitted(typed: Sequence[str]) -> list[str]:
    """The result of `arguments`, without `agent.allow=[…]`.

    Under an agent, a parameter must be an axis or a value of the configuration, and not one of `KEPT_BACK`: the server
    must not choose where this machine writes or which code it runs. The command can allow more in `agent.allow`, which
    lists parameters or paths above them. Raises InputError for a parameter that is not permitted.
    """
    allowed: list[str] = []
    left = []
    for argument in typed:
        found = _read(argument)
        if found is not None and found.key_or_group == "agent.allow":
            value = found.value()
            allowed += [str(name) for name in (value if isinstance(value, list) else [value])]
        else:
            left.append(argument)
    added = {found.key_or_group for text in left if (found := _read(text)) and (found.is_add() or found.is_force_add())}
    for name, value in _of_agent().items():
        path = name.lstrip("+~")
        is_new = name != path or path in added
        if path.startswith("trainer.") and isinstance(value, int | float | None):
            is_new = False  # a number for Lightning's Trainer, such as limit_train_batches, cannot name code
        if (is_new or _is_kept_back(path) or _names_code(value)) and not _is_below(path, allowed):
            raise InputError(
                f"{name}: a sweep's parameter must be an axis or a value of the configuration. It must not decide"
                " which code is run or where files are. If you trust the server with it, add"
                f" agent.allow=[{path}] to the command."
            )
    return left


def _of_agent() -> dict[str, Any]:
    """The parameters that the server chose for this run. A variant is replaced by its overrides."""
    return variant.expanded(flattened(agent.parameters()))


def _is_kept_back(path: str) -> bool:
    words = path.replace("/", ".").split(".")
    return _is_below(path.replace("/", "."), KEPT_BACK) or "@" in path or any(word.startswith("_") for word in words)


def _names_code(value: Any) -> bool:
    """Whether a mapping in the value has a key such as _target_."""
    if isinstance(value, list):
        return any(map(_names_code, value))
    if isinstance(value, dict):
        return any(str(key).startswith("_") or _names_code(item) for key, item in value.items())
    return False


def _is_below(path: str, names: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _json(argument: str) -> dict[str, Any]:
    try:
        return json.loads(argument)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{argument}: parameters in braces must be JSON, as ${{args_json}} writes it: {error}."
        ) from error


def _overrides(parameters: dict[str, Any]) -> list[str]:
    return [override(name, value) for name, value in flattened(parameters).items()]


def _read(argument: str) -> Override | None:
    """The override in an argument; None for a flag, or for what Hydra will refuse later."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _has_none(value: Any) -> bool:
    """Whether the value contains the word None without quotes."""
    if isinstance(value, ChoiceSweep):
        value = value.list
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_has_none, value)) if isinstance(value, list) else value == "None"


def _arrives(name: str, text: str, read: Sequence[Override]) -> bool:
    """Whether the last override of `name` among `read` is equal to `text`."""
    named = [found for found in read if found.key_or_group == name.lstrip("+")]
    if not named or named[-1].is_sweep_override():
        return False
    return override(name, named[-1].value()) == text
