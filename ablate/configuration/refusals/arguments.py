"""Words of a command line that make Hydra crash, refused before it sees them."""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from ablate.configuration.composition import check_option
from ablate.errors import InputError, nearest
from ablate.paths import CONF

DEEPEST = 40  # brackets within brackets


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise InputError for arguments that make Hydra crash: bytes that are not UTF-8, too many nested brackets, numbers
    with thousands of digits, lists of options."""
    for argument in arguments:
        shown = f"{argument[:60]!a}"
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise InputError(f"{shown}: this is not UTF-8.")
        if nesting(argument) > DEEPEST:
            raise InputError(f"{shown}…: {nesting(argument)} nested brackets; at most {DEEPEST} are read.")
        if re.match(r"[+~]*@", argument):
            raise InputError(f"{argument}: an axis or a key is expected before the @.")
        if re.search(r"\d{1000}", argument):
            raise InputError(f"{shown}…: no value has a number of more than a thousand digits.")
        key, _, value = argument.lstrip("+").partition("=")
        axis = key.partition("@")[0]
        # For a list such as model=[1] Hydra raises a TypeError.
        if value.startswith("[") and ("/" in axis or (axis.isidentifier() and (CONF / axis).is_dir())):
            check_option(axis, value.strip("[]").split(","))


def meant(flag: str, words: Sequence[str], flags: Iterable[str]) -> str:
    """What an unknown flag is meant to be: an axis or a value, which has no dashes, or the nearest of the `flags`.

    words  of the command line, of which the one behind the flag may be its value
    """
    name, is_set, value = flag.lstrip("-").partition("=")
    keys = re.findall(r"^(\w+):", (CONF / "config.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    if not name.partition(".")[0].isidentifier() or not ("." in name or name in keys or (CONF / name).is_dir()):
        return nearest(flag, flags)
    behind = [after for word, after in pairwise(words) if word == flag and not after.startswith("-")]
    return f" Write {name}={value if is_set else behind[0] if behind else 'VALUE'}."


def nesting(text: str) -> int:
    """The depth of nested brackets."""
    depths = accumulate((character in "[{(") - (character in ")}]") for character in text)
    return max(depths, default=0)
