"""Values that follow from the choices that are compared: norm=none, for one, gives convolutions a bias. And choices
that are other words for them, as `experiment=…` is."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ablate.comparison.results import Result, at, differences
from ablate.configuration.bulk import Composer
from ablate.configuration.fingerprint import BUNDLES
from ablate.configuration.overrides import folder, override
from ablate.configuration.resolvers import register_resolvers
from ablate.configuration.values import identity, is_inside
from ablate.errors import InputError
from ablate.training.settings import AUTO

# What a run resolves, or what follows from its seed, need not be typed.
FOLLOWS = (*AUTO, "vary", "data.seed", "data.split_seed")


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


def needed(choices: Mapping[str, list[Any]], results: Sequence[Result]) -> dict[str, list[Any]]:
    """The choices without those that only say again what the others say.

    Runs that are compared may have been typed in different words: experiment=he2015_plain20 once, and
    recipe=he2015_cifar shortcut=none today. Then the experiment is no choice of its own, if all that differs between
    the runs is named by the other choices, or follows from their options. So is model=resnet32 beside
    model.stages=[5,5,5].
    """
    kept = dict(choices)

    def may_repeat(key: str) -> bool:
        return key in BUNDLES or any(other.startswith(f"{key}.") for other in kept)

    if not any(map(may_repeat, choices)) or any(run.overrides is None for run in results):
        return kept  # of runs from elsewhere no whole configuration is known
    first, *others = {id(result.config): result for result in results}.values()
    changed = [(run, differences(first.config, run.config, FOLLOWS)) for run in others]
    for key in choices:
        if may_repeat(key):
            rest = [other for other in kept if other not in (key, *BUNDLES)]
            left = [other for other in kept if other != key]
            if rest and all(_is_said(found, first, run, rest) for run, found in changed) and not _alike(left, results):
                del kept[key]
    return kept


def untold(choices: Collection[str], results: Sequence[Result]) -> list[str]:
    """By what runs differ that have the same choices: one key for each pair that nothing else tells apart.

    They may have been typed in the same words, as where what nobody typed has had another default since.
    """
    more: list[str] = []
    while pair := _alike([*choices, *more], results):
        one, other = pair
        found = differences(one.config, other.config, FOLLOWS)
        axes = [axis for axis in dict.fromkeys(path.split(".")[0] for path in found) if axis in one.record.choices]
        more.append(next((axis for axis in axes if one.value(axis) != other.value(axis)), next(iter(found))))
    return more


def _alike(choices: Collection[str], results: Sequence[Result]) -> tuple[Result, Result] | None:
    """Two runs that have the same choices, but were trained differently; None where there are none."""
    first: dict[str, Result] = {}
    for run in {id(result.config): result for result in results if result.overrides is not None}.values():
        one = first.setdefault(identity({key: run.value(key) for key in choices}), run)
        if differences(one.config, run.config, FOLLOWS):
            return one, run
    return None


def _is_said(changed: Mapping[str, tuple[Any, Any]], one: Result, other: Result, keys: Sequence[str]) -> bool:
    """Whether each of the changed values is inside one of the keys, or belongs to no axis and is what the chosen
    options make of it."""
    unsaid = [path for path in changed if not is_inside(path, keys)]
    if any(path.split(".")[0] in one.record.choices for path in unsaid):
        return False
    return not unsaid or all(
        (made := _composed((*folders(run), *_options(run)))) is not None
        and all(at(made, path) == changed[path][i] for path in unsaid)
        for i, run in enumerate((one, other))
    )


def _options(run: Result) -> list[str]:
    options = run.record.choices
    return [override(axis, options[axis]) for axis in options if axis not in BUNDLES and options[axis] is not None]


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
