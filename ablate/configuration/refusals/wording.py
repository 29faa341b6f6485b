"""What Hydra and OmegaConf refuse, in one message that says what to do."""

import glob
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.configuration.composition import axes, composed, plain
from ablate.configuration.schema import suggestion
from ablate.errors import InputError, nearest, raised_within, reason
from ablate.paths import CONF


@contextmanager
def explaining() -> Iterator[None]:
    """Raise what Hydra and OmegaConf refuse as an InputError, in the words of `explained`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explained(error)) from error


def explained(error: Exception) -> str:
    """The error in one message that says what to do."""
    if isinstance(error, InputError):
        return str(error)
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    if is_no_option(error):
        return _no_option(getattr(error, "typed", ()))
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if several := re.match(r"Ambiguous value for argument '(.+)'", str(error)):
        return _several(several[1])
    if twice := re.match(r"Multiple values for (\S+)\. .*: (\S+)'", str(error)):
        return f"+{twice[1]}={twice[2]}: this axis is there already. Write {twice[1]}={twice[2]}, without the plus."
    text = str(error) + (f" {error.__cause__}" if error.__cause__ else "")
    where = re.search(r"full_key: (\S+)", str(error))
    if isinstance(error, InstantiationException) and where and error.__cause__:
        text = f"{where[1]}: {reason(error.__cause__)}"
    elif where:
        text = f"{where[1]}: {text}"
    if isinstance(error, MissingConfigException) and error.options:
        return _unknown_option(error)
    if said := _of_interpolation(text):
        return said
    key = re.search(r"Could not override '([^']+)'", text)
    return _unknown_key(key[1], getattr(error, "typed", ())) if key else in_one_line(text)


def _of_interpolation(text: str) -> str | None:
    """The message for a ${…} that cannot be resolved; None if that is not the error."""
    if message := raised_within(text):
        return message
    if missing := re.search(r"^(?:(\S+): )?.*Interpolation key '([^']+)' not found", text, re.DOTALL):
        where, key = f"{missing[1]}: " if missing[1] else "", missing[2]
        return (
            f"{where}{key} is missing: a value is written as ${{{key}}}. If ~{key} was typed, leave it out and set"
            " another value instead."
        )
    if unknown := re.search(r"^(?:(\S+): )?.*Unsupported interpolation type (\S+)", text, re.DOTALL):
        where = f"{unknown[1]}: " if unknown[1] else ""
        return (
            f"{where}${{{unknown[2]}:…}} is not known here. Write the value itself, another key's as ${{KEY}}, or a"
            " variable of the environment as ${oc.decode:${oc.env:NAME}}."
        )
    return None


def in_one_line(text: str) -> str:
    """A library's message of several lines in one line, without the lines that only its programmers need."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key: ", "object_type="))]
    return " ".join(line if line[-1] in ".,:;?!" else f"{line};" for line in kept).removesuffix(";")


def _several(typed: str) -> str:
    """The message for values separated by commas, which Hydra accepts only with -m."""
    key, _, values = typed.partition("=")
    listed = "" if key in axes(composed([])) else f" For one value that is a list, write {key}=[{values}]."
    return (
        f"{typed}: these are several values. For one run of each, add -m: python -m ablate -m {typed}. In a sweep"
        f" file, write {key}: {{values: [{values.replace(',', ', ')}]}}.{listed}"
    )


def is_no_option(error: BaseException) -> bool:
    """Whether it is Hydra's error for `shortcut=null`, which is a plain ValueError."""
    return isinstance(error, ValueError) and str(error).startswith("Config group override must be")


def _no_option(typed: Sequence[str]) -> str:
    """The message where an axis has a value that is no name."""
    parsed = zip(typed, OverridesParser.create().parse_overrides(list(typed)), strict=True)
    usual = axes(composed([]))
    own = [(text, found.value()) for text, found in parsed if found.key_or_group in usual]
    named = [text for text, value in own if not isinstance(value, str | list)]
    return f"{' '.join(named) or 'An axis'}: an axis takes the name of an option, not null, a number, true or false."


def _unreadable(error: OverrideParseException) -> str:
    """The message for an override outside of Hydra's grammar; suggests quotes if they are enough."""
    key, _, value = error.override.partition("=")
    quoted = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
    try:
        OverridesParser.create().parse_override(quoted)
    except HydraException:
        value = ""
    if not value and (axis := _axis_of(error.override)):
        return f"{error.override} is an option of {axis}: write {axis}={error.override}."
    if not value:
        return f"{error.override}: this cannot be read. Write key=value or axis=option, and lists in brackets."
    return f"{error.override}: this value cannot be read without quotes. Write {shlex.quote(quoted)}."


def _axis_of(option: str) -> str | None:
    """The axis that has an option of this name, if there is just one."""
    found = [path.parent.name for path in CONF.glob(f"*/{glob.escape(option)}.yaml")]
    return found[0] if len(found) == 1 else None


def _unknown_option(error: MissingConfigException) -> str:
    """The message for an option that an axis does not have."""
    axis, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = sorted(error.options or [])
    forgotten = sorted(Path().glob(f"*/{glob.escape(axis)}/{glob.escape(option)}.yaml"))
    hint = f" {forgotten[0]} is there: type --config-dir {forgotten[0].parts[0]} too." if forgotten else ""
    others = "" if forgotten else " (--config-dir DIR adds a folder of your own.)"
    near = nearest(option, options) if not forgotten else ""
    return f"{axis}={option}: there is no such option.{hint}{near} Options: {', '.join(options)}.{others}"


def _unknown_key(key: str, typed: Sequence[str]) -> str:
    """The message for a `key` that is neither an axis nor a value of the configuration that `typed` chooses."""
    defaults = _of_options(typed)
    if key in axes(defaults):
        return f"{key}: an axis takes the name of an option. Set its values one by one: {key}.KEY=VALUE."
    parent, _, word = key.rpartition(".")
    holder = OmegaConf.select(defaults, parent) if parent else defaults
    while holder is None or not OmegaConf.is_config(holder):
        parent, _, word = parent.rpartition(".")
        holder = OmegaConf.select(defaults, parent) if parent else defaults
    own = {str(k) for k in holder if k != "hydra" and not str(k).startswith("_")}
    known = sorted(own | (set() if parent else set(axes(defaults))))
    what = f"{parent} has the keys" if parent else "axes and values are"
    prefix = f"{parent}." if parent else ""
    target = str(holder.get("_target_") or "ablate.")
    # What else code of the user's takes nobody knows, and keys of that name elsewhere have nothing to do with it.
    is_ours = target.startswith("ablate.")
    is_known = is_ours or target.startswith("torch.")
    near = suggestion(prefix + word, word, known, alike=is_ours) if is_known else nearest(word, known)
    if not parent and not near:  # a key of an option that was chosen
        options = plain(defaults, resolve=False)
        inside = [f"{axis}.{word}" for axis, own in options.items() if isinstance(own, dict) and word in own]
        near = f" Did you mean {' or '.join(inside)}?" if inside else ""
    addition = f" (+{key}=… adds a key that is new.)" if parent and not near else ""
    return f"{key}: there is no such axis or value.{near} Here {what}: {', '.join(known) or 'none'}.{addition}"


def _of_options(typed: Sequence[str]) -> DictConfig:
    """What the axes' options and the folders among the words `typed` give; the defaults where that cannot be had."""
    usual = composed([])
    known = axes(usual)
    chosen = [word for word in typed if word.partition("=")[0] in known or word.startswith("hydra.searchpath=")]
    try:
        return composed(chosen)
    except (HydraException, OmegaConfBaseException, YAMLError):  # one of them is wrong too
        return usual
