"""A variant: several overrides as one value. With it a sweep's parameter can list designs that do not form a grid.

    variant: {values: ["", "norm=none", "placement=full_pre_activation activation=gelu"]}

A variant is replaced by its overrides before anything is composed. So a run has the same fingerprint as if you had
typed the overrides one by one, and no other module needs to know variants.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from ablate.configuration.overrides import in_words, override
from ablate.errors import InputError

NAME = "variant"


def choices(value: Any) -> dict[str, Any]:
    """The keys that a variant sets, with the values as Hydra reads them. The string is split as a shell would split it.

    Raises InputError unless it is a string of overrides, each with one value.
    """
    if not isinstance(value, str):
        raise InputError(
            f'{NAME}: {value}: a string of overrides is expected, such as "norm=none activation=gelu", or "" for none.'
        )
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise InputError(f"{NAME}: {value}: {error}.") from error
    found: dict[str, Any] = {}
    for word in words:
        read = _read(value, word)
        key = read.get_key_element()
        if key.lstrip("+") in {known.lstrip("+") for known in found}:
            raise InputError(f"{NAME}: {value}: {key} is set twice: keep one.")
        found[key] = read.value()
        override(key, found[key])  # raises if the value cannot be written
    return found


def written(choices: Mapping[str, Any]) -> str:
    """The string that `choices` reads back. Quoted only where a shell needs quotes."""
    texts = (override(key, value) for key, value in choices.items())
    return " ".join(text if shlex.split(text) == [text] else shlex.quote(text) for text in texts)


def expanded(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by their dotted names. A variant among them is replaced by what it sets.

    Raises InputError if the variant and another parameter set the same key.
    """
    if nested := [name for name in parameters if name.startswith(f"{NAME}.")]:
        choices({nested[0].partition(".")[2]: parameters[nested[0]]})  # raises: a variant cannot be a mapping
    if NAME not in parameters:
        return dict(parameters)
    chosen = choices(parameters[NAME])
    others = [name for name in parameters if name != NAME]
    _check_once(chosen, others)
    result: dict[str, Any] = {}
    for name, value in parameters.items():
        result |= chosen if name == NAME else {name: value}
    return result


def typed(words: Sequence[str]) -> list[str]:
    """The words of a command line. `variant=…` among them is replaced by its overrides, and `recipe=null` is
    `recipe=none`.

    Raises InputError for two variants, if the variant and another word set the same key, and for `experiment=null`.
    """
    words = [in_words(word) for word in words]
    variants = [word for word in words if is_variant(word)]
    if not variants:
        return words
    if len(variants) > 1:
        raise InputError(
            f"{' '.join(variants)}: a run has one variant: put the overrides of both into one. For several runs, list"
            f" the variants as the parameter `{NAME}` of a sweep file."
        )
    chosen = choices(_value(variants[0]))
    _check_once(chosen, (word.partition("=")[0] for word in words if "=" in word and not is_variant(word)))
    result: list[str] = []
    for word in words:
        result += [override(key, value) for key, value in chosen.items()] if is_variant(word) else [word]
    return result


def is_variant(word: str) -> bool:
    return re.match(rf"\+{{0,2}}{NAME}=", word) is not None


def _read(variant: str, word: str) -> Override:
    """The override `word` of a variant."""
    try:
        read = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise InputError(
            f"{NAME}: {variant}: {word} is not an override. Write axis=option or key=value, separated by blanks."
        ) from error
    if read.is_delete():
        raise InputError(f"{NAME}: {variant}: {word} removes a key; a variant sets values.")
    if read.is_sweep_override():
        raise InputError(
            f"{NAME}: {variant}: {word} has several values. Write a variant for each:"
            f" {NAME}: {{values: […]}} in a sweep file."
        )
    if read.key_or_group == NAME or read.key_or_group.startswith("hydra"):
        raise InputError(f"{NAME}: {variant}: {read.key_or_group} cannot be set in a variant.")
    return read


def _value(word: str) -> str:
    """The text after `variant=`, without quotes if Hydra reads it as a quoted string."""
    text = word.partition("=")[2]
    try:
        read = OverridesParser.create().parse_override(f"{NAME}={text}")._value
    except HydraException:
        return text
    return read.text if isinstance(read, QuotedString) else text


def _check_once(chosen: Iterable[str], others: Iterable[str]) -> None:
    bare = {name.lstrip("+~") for name in others}
    for key in chosen:
        path = key.lstrip("+")
        if path in bare:
            raise InputError(f"{path} is set twice, by {NAME} and on its own: keep one.")
