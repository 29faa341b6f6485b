"""The parameters that a W&B agent hands over, as overrides.

An agent starts the `command` of the sweep file, once for every run that the server asks for. `${args_json}` in it
stands for one argument, the run's parameters as JSON, in which every value is what it was. `${args_no_hyphens}`
stands for `name=value` with Python's str() of the value: plain words, numbers and most lists survive that, but null
becomes the word None, a mapping nothing that Hydra reads, and a string a number or a list where it looks like one.
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

# Where this machine reads and writes, and what else is run.
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
    """The command line, with parameters that came as JSON, and a `variant`, written as Hydra's overrides.

    Raises InputError for JSON that cannot be read, for a variant that is none, for values that `override` refuses, for
    the bare word None, and, under an agent, when one of the run's parameters does not arrive as the sweep has it.
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
                f"{name}: the sweep's value, {json.dumps(value, default=str)}, does not arrive as what it is. Let the "
                "`command` of the sweep file end in ${args_json}: it hands every value over exactly."
            )
    return written


def permitted(typed: Sequence[str]) -> list[str]:
    """The command line as `arguments` has written it, without `agent.allow=[…]`.

    Raises InputError, under an agent, for a parameter that is no axis and no value of the configuration, or one of
    `KEPT_BACK`, unless the command itself names it, or a path above it, in `agent.allow`: a server that hands out
    values is not to choose where this machine writes and which code it runs.
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
            is_new = False  # an argument of Lightning's that is a number, such as limit_train_batches, names no code
        if (is_new or _is_kept_back(path) or _names_code(value)) and not _is_below(path, allowed):
            raise InputError(
                f"{name}: a sweep's parameter may be an axis or a value of the configuration, and nothing that says"
                f" which code is run or where files lie. If you trust the server with it, let the command say"
                f" agent.allow=[{path}]."
            )
    return left


def _of_agent() -> dict[str, Any]:
    """The parameters that the sweep's server chose for this run, its variant's overrides one by one."""
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
    """The override in an argument; None for flags, and for what Hydra itself will refuse."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _has_none(value: Any) -> bool:
    """Whether the word None stands anywhere in it without quotes."""
    if isinstance(value, ChoiceSweep):
        value = value.list
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_has_none, value)) if isinstance(value, list) else value == "None"


def _arrives(name: str, text: str, read: Sequence[Override]) -> bool:
    """Whether the last override of `name` says what `text` says."""
    named = [found for found in read if found.key_or_group == name.lstrip("+")]
    if not named or named[-1].is_sweep_override():
        return False
    return override(name, named[-1].value()) == text
