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

from ablate.errors import InputError
from ablate.study.overrides import flattened, override
from ablate.training import agent


def arguments(typed: Sequence[str]) -> list[str]:
    """The command line, with parameters that came as JSON written as Hydra's overrides.

    Raises InputError for JSON that cannot be read, for values that `override` refuses, for the bare word None, and,
    under an agent, when one of the run's parameters does not arrive as the sweep has it.
    """
    written: list[str] = []
    for argument in typed:
        written += _overrides(_json(argument)) if argument.startswith("{") else [argument]
    read = [found for argument in written if (found := _read(argument)) is not None]
    for found in read:
        if _has_none(found._value):
            override(found.get_key_element(), "None")  # which refuses it
    for name, value in flattened(agent.parameters()).items():
        if not _arrives(name, override(name, value), read):
            raise InputError(
                f"{name}: the sweep's value, {json.dumps(value, default=str)}, does not arrive as what it is. Let the "
                "`command` of the sweep file end in ${args_json}: it hands every value over exactly."
            )
    return written


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
