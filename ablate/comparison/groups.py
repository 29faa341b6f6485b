"""Runs that were trained for other lengths are not compared with each other."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ablate.comparison.results import Result, distinct, varied
from ablate.configuration.values import identity, word
from ablate.errors import InputError, nearest

# What makes a number another one whatever the design is.
APART = ("trainer.max_epochs", "trainer.max_steps", "trainer.limit_train_batches")
NAMED = 3  # groups that are named


@dataclass(frozen=True)
class Group:
    """Runs that have the same `values` of the keys in APART; only keys are named of which there are several."""

    values: dict[str, Any]
    results: list[Result]

    def __str__(self) -> str:
        return " ".join(f"{key}={word(value)}" for key, value in self.values.items())

    @property
    def count(self) -> str:
        return f"{len(self.results)} run{'s' * (len(self.results) > 1)}"


def groups(results: Sequence[Result], besides: Collection[str] = ()) -> list[Group]:
    """The runs in groups that may be compared within, the one with most runs first.

    Where no other choice varies within any of them, there is one group: then the lengths are what is compared.

    besides  keys that are choices here, whatever they are
    """
    keys = [key for key in APART if key not in besides and len(distinct(result.value(key) for result in results)) > 1]
    found: dict[str, Group] = {}
    for result in results:
        values = {key: result.value(key) for key in keys}
        found.setdefault(identity(values), Group(values, [])).results.append(result)
    if not any(varied(group.results) for group in found.values()):
        return [Group({}, list(results))]
    return sorted(found.values(), key=lambda group: -len(group.results))


def left_out(chosen: Group, found: Iterable[Group], source: str) -> list[str]:
    """What is said of the other groups, and how they are reported."""
    others = [group for group in found if group is not chosen]
    if not others:
        return []
    listed = "; ".join(f"{group.count} with {group} (report {source} {group})" for group in others[:NAMED])
    more = f"; {len(others) - NAMED} more kinds" if len(others) > NAMED else ""
    return [f"Compared are the {chosen.count} with {chosen}. Others are left out: {listed}{more}."]


def matching(results: Sequence[Result], wanted: Iterable[str]) -> list[Result]:
    """The runs that have every `key=value` of `wanted`. Raises InputError where none has."""
    left = list(results)
    for typed in wanted:
        key, _, value = typed.partition("=")
        kept = [result for result in left if _is(_of(result, key), value)]
        if not kept:
            raise InputError(f"{typed}: no run has it.{_had(left, key)}")
        left = kept
    return left


def _of(result: Result, key: str) -> Any:
    return result.seed if key == "seed" else result.value(key)


def _is(value: Any, typed: str) -> bool:
    try:
        return word(value) == typed or identity(value) == identity(yaml.safe_load(typed))
    except yaml.YAMLError:
        return False


def _had(results: Sequence[Result], key: str) -> str:
    values = [word(value) for value in distinct(_of(result, key) for result in results) if value is not None]
    if values:
        return f" They have {', '.join(values[:8])}."
    return nearest(key, dict.fromkeys(key for result in results for key in result.typed))
