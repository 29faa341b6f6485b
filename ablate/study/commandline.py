"""Hydra's command line with one clear message for wrong input."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.errors import InputError, nearest
from ablate.study.composition import axes, composed
from ablate.study.failure import described
from ablate.training.interrupt import LostError

DONE, FAILED, WRONG_INPUT = 0, 1, 2

# An image side up to which a network starts with a 3x3 convolution: CIFAR has 32, Tiny ImageNet 64.
SMALL_IMAGE = 64


def register_resolvers() -> None:
    """What configuration files may call: `${up_to_64_pixels:size,small,large}`."""
    OmegaConf.register_new_resolver(
        "up_to_64_pixels", lambda size, small, large: small if size <= SMALL_IMAGE else large, replace=True
    )


def guarded(task: Callable[..., Any], *arguments: Any) -> int:
    """Call `task` and say what went wrong, if anything did: one message for wrong input, a traceback for a failure.

    Returns the exit code: the task's own if it returns a number. Interruptions pass.
    """
    try:
        code = task(*arguments)
        return code if isinstance(code, int) else DONE
    except LostError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if not isinstance(error, InputError | HydraException | OmegaConfBaseException) and not _no_option(error):
            print(described(error), file=sys.stderr)
            return FAILED
        if os.environ.get("ABLATE_TRACEBACK") == "1":
            traceback.print_exc()
        print(f"ablate: {explained(error)}", file=sys.stderr)
        return WRONG_INPUT


def explained(error: Exception) -> str:
    """The error in one message that says what to do."""
    if isinstance(error, InputError):
        return str(error)
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    if _no_option(error):
        return f"An axis takes the name of an option: null, numbers, true and false are none. {error}."
    text = str(error) + (f" {error.__cause__}" if error.__cause__ else "")
    where = re.search(r"full_key: (\S+)", str(error))
    if isinstance(error, InstantiationException) and where and error.__cause__:
        text = f"{where[1]}: {error.__cause__}"
    if isinstance(error, MissingConfigException) and error.options:
        return _unknown_option(error)
    key = re.search(r"Could not override '([^']+)'", text)
    return _unknown_key(key[1]) if key else " ".join(text.split())


def _no_option(error: BaseException) -> bool:
    """Hydra's own error for `shortcut=null` is a ValueError like any other."""
    return isinstance(error, ValueError) and str(error).startswith("Config group override must be")


def _unknown_option(error: MissingConfigException) -> str:
    axis, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = sorted(error.options or [])
    return f"{axis}={option}: there is no such option.{nearest(option, options)} Options: {', '.join(options)}."


def _unknown_key(key: str) -> str:
    """`key` is neither an axis nor a value of the configuration."""
    defaults = composed([])
    parent, _, word = key.rpartition(".")
    holder = OmegaConf.select(defaults, parent) if parent else defaults
    while holder is None or not OmegaConf.is_config(holder):
        parent, _, word = parent.rpartition(".")
        holder = OmegaConf.select(defaults, parent) if parent else defaults
    known = sorted({str(k) for k in holder if k != "hydra"} | (set() if parent else set(axes(defaults))))
    what = f"{parent} has the keys" if parent else "axes and values are"
    prefix = f"{parent}." if parent else ""
    suggestion = nearest(word, known).replace("mean ", f"mean {prefix}", 1)
    addition = f" (+{key}=… adds a key that is new.)" if parent else ""
    return f"{key}: there is no such axis or value.{suggestion} Here {what}: {', '.join(known)}.{addition}"
