"""Writes values as overrides that Hydra's parser reads back exactly."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from ablate.errors import InputError

# Hydra's grammar (hydra/grammar/OverrideLexer.g4): `+axis`, `axis@package`, `optimizer.lr`, `hydra/launcher`.
_WORD = r"[A-Za-z_$][\w$-]*"
_KEY = re.compile(rf"\+{{0,2}}{_WORD}(/{_WORD})*(@[\w.$-]+)?|\+{{0,2}}{_WORD}(\.({_WORD}|0|[1-9]\d*))+", re.ASCII)
_BARE = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
# Words that the grammar does not read as strings.
_RESERVED = re.compile(
    r"null|true|false|[+-]?(inf|nan|\d[\d_]*|(\d[\d_]*)?\.?[\d_]*(e[+-]?\d[\d_]*)?)", re.I | re.ASCII
)
_NULL = re.compile(r",\s*null\s*,", re.I)
_ESCAPED = re.compile(r"[\\()\[\]{}:=, \t]")

# YAML 1.2 and Hydra read 1e-4 as a number. PyYAML, with which W&B reads sweep files, reads it as a string.
_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", re.ASCII)


def override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar, such that Hydra's parser returns the same value with the same type.

    value  anything in YAML or JSON: null, booleans, numbers, strings, lists, mappings. A plain word is not quoted, just
           as you type an option (`shortcut=none`); every other string is.

    Raises InputError for what Hydra would read as something else: the word None, which is not YAML's null; `${` and
    `???`, which are an interpolation and a missing value; and keys outside of its grammar.
    """
    if not _KEY.fullmatch(key):
        raise InputError(
            f"{key!r} cannot name a parameter: an axis or a dotted path is expected, such as optimizer.lr."
        )
    return in_words(f"{key}={_text(key, value)}")


def in_words(text: str) -> str:
    """An override whose `recipe=null` is `recipe=none`: Hydra has a word for an option, not null. Else unchanged.

    Raises InputError for `experiment=null`: there is no option without a network.
    """
    key, _, values = text.partition("=")
    if key not in ("recipe", "experiment") or not _NULL.search(f",{values},"):
        return text
    if key == "experiment":
        raise InputError(
            f"{text}: an experiment is a network with its training. For none, leave the word out; to compare one with a"
            ' design of yours, list both as variants in a sweep file: variant: {values: ["", "experiment=NAME"]}.'
        )
    return f"{key}={','.join('none' if _NULL.fullmatch(f',{value},') else value for value in values.split(','))}"


def flattened(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as dotted keys: {"optimizer": {"lr": 1}} becomes {"optimizer.lr": 1}. Empty mappings are values.

    Strings such as 1e-4, which PyYAML did not read as numbers, become numbers.
    """
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping) and value:
            inner = flattened({str(name): item for name, item in value.items()})
            flat |= {f"{key}.{name}": item for name, item in inner.items()}
        else:
            flat[key] = _numbers(value)
    return flat


def _text(key: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _string(key, value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_text(key, item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_dict_key(key, name)}:{_text(key, item)}' for name, item in value.items())}}}"
    raise InputError(f"{key}={value}: YAML's {type(value).__name__} is no value of a configuration; quote it.")


def _string(key: str, value: str) -> str:
    if value == "None":
        raise InputError(
            f"{key}=None: write null for no value; in YAML, None is an ordinary string. "
            "In the `command` of a sweep file, write ${args_json}, which passes every value exactly."
        )
    if "${" in value or value == "???":
        raise InputError(f"{key}={value}: a configuration would not take this literally; leave out ${{ and ???.")
    if not value.isascii() and not _encodes(value):
        raise InputError(f"{key}={value!a}: these characters cannot be written to a file.")
    if _BARE.fullmatch(value) and not _RESERVED.fullmatch(value):
        return value
    return QuotedString(value, Quote.single).with_quotes()


def _dict_key(key: str, name: Any) -> str:
    """A mapping's key with special characters escaped. Keys cannot be quoted, so some strings cannot be written."""
    text = _ESCAPED.sub(r"\\\g<0>", name) if isinstance(name, str) else str(name)
    try:
        read = OverridesParser.create().parse_override(f"key={{{text}:0}}").value()
    except HydraException:
        read = None
    if not isinstance(read, dict) or [(type(word), word) for word in read] != [(type(name), name)]:
        raise InputError(f"{key}: Hydra cannot write a mapping with the key {name!r}.")
    return text


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and _SCIENTIFIC.fullmatch(value) else value


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def folder(config_dir: Path | None) -> list[str]:
    """The override that --config-dir stands for. Raises InputError if the folder does not exist."""
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise InputError(f"--config-dir {config_dir}: there is no such folder.")
    return [override("hydra.searchpath", [f"file://{config_dir.absolute()}"])]
