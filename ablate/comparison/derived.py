"""Values that follow from the choices that are compared: norm=none, for one, gives convolutions a bias."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ablate.comparison.results import Result, at
from ablate.configuration.bulk import Composer
from ablate.configuration.overrides import folder
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError


def derived(
    changed: Mapping[str, tuple[Any, Any]], baseline: Result, run: Result, besides: Collection[str]
) -> set[str]:
    """Those of the `changed` values, (the baseline's, the run's) by their dotted key, that the options chosen for the
    keys `besides` set by themselves.

    They are those that come out of a composition of these choices, and of what was typed for both. A value that only
    one of the two was given, or that an option no longer sets, is none of them; nor is any where the run's options are
    not here.
    """
    if not changed or baseline.overrides is None or run.overrides is None:
        return set()
    chosen = {key.lstrip("+") for key in besides}
    theirs, ours = (_composed(_shared(one, other, chosen)) for one, other in ((baseline, run), (run, baseline)))
    if theirs is None or ours is None:
        return set()
    return {key for key, values in changed.items() if (at(theirs, key), at(ours, key)) == values}


def _shared(run: Result, other: Result, chosen: Collection[str]) -> tuple[str, ...]:
    """What was typed for the run: the choices, and what was typed for the other one too."""
    typed = [text for key, text in run.typed.items() if key.lstrip("+") in chosen or other.typed.get(key) == text]
    return (*folders(run), *typed)


def folders(run: Result) -> list[str]:
    """The folders of the user's own options, as overrides."""
    return [text if text.startswith("hydra.") else _added(text) for text in run.record.search_path]


def _added(config_dir: str) -> str:
    """--config-dir=DIR as an override."""
    path = Path(config_dir.partition("=")[2])
    return folder(path)[0] if path.is_dir() else f"hydra.searchpath=[file://{path}]"


@cache
def composer() -> Composer:
    """The one that composes what stored runs were asked with: they share most of it."""
    register_resolvers()
    return Composer()


@cache
def _composed(overrides: tuple[str, ...]) -> dict[str, Any] | None:
    """The values; None where they cannot be composed here and now."""
    try:
        return composer()(overrides)
    except (InputError, HydraException, OmegaConfBaseException):
        return None
