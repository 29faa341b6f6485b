"""What is typed today to make a stored run again: what was typed, and what a default of another version stood for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ablate.comparison.derived import FOLLOWS, composer, folders
from ablate.comparison.results import Result, defaults, differences
from ablate.configuration.fingerprint import NOT_HASHED
from ablate.configuration.overrides import override
from ablate.configuration.values import at
from ablate.errors import InputError

_GONE = object()


def overrides(results: Sequence[Result]) -> list[tuple[str, ...] | None]:
    """For each result the words that make its run again; None where it was not made by this project.

    Where they cannot be composed, as where the folder of the user's own options is gone, they are as they were typed.
    """
    known: dict[Any, tuple[str, ...]] = {}

    def words(result: Result) -> tuple[str, ...] | None:
        typed = result.overrides
        if typed is None or result.directory is None:
            return typed
        shared = tuple(text for text in typed if not text.startswith("seed="))
        key = (shared, tuple(result.record.choices.items()), id(result.config))  # the seeds of a variant share it
        if key not in known:
            known[key] = () if _has_todays_defaults(result) else _no_longer_implied(result, shared)
        return (*typed, *known[key])

    return [words(result) for result in results]


def _has_todays_defaults(result: Result) -> bool:
    """Whether all that was not typed is today's default. Costs little; a model that implies other options says no."""
    options, values = defaults()
    outside = ("trainer", *(key for key in values if key not in options))
    axes = [axis for axis, option in result.record.choices.items() if option != options.get(axis, option)]
    own = [key for key, _ in _changed(result.config, values) if key.split(".")[0] in outside]
    return result.typed.keys() >= {*axes, *own} - NOT_HASHED


def _no_longer_implied(result: Result, typed: Sequence[str]) -> tuple[str, ...]:
    asked = [*folders(result), *typed]
    try:
        today = composer().options(asked)
        options = [
            override(axis, option)
            for axis, option in result.record.choices.items()
            if axis in today and axis not in NOT_HASHED and option not in (None, today[axis])
        ]
        now = composer()([*asked, *options])
    except (InputError, HydraException, OmegaConfBaseException):
        return ()
    return (*options, *(override(key, was) for key, was in _changed(result.config, now)))


def _changed(stored: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The stored values that are others today, of the keys that both have; a class is its option's own."""
    for key, (was, _) in differences(dict(stored), dict(now), FOLLOWS).items():
        in_both = at(stored, key, _GONE) is not _GONE and at(now, key, _GONE) is not _GONE
        if in_both and not key.endswith("_target_"):
            yield key, was
