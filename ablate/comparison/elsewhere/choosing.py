"""Which columns of a table of runs are choices: named by the user, or guessed, which is said.

A column is left out where it says nothing about a design: one value, another for every run, a text too long to read, or
a value that follows from the other choices. Where a table mixes choices with measurements, a column may be either: then
it is asked for.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from ablate.configuration.values import identity, word
from ablate.errors import InputError, nearest

LONG = 60  # characters of a value that is no name of an option
FEW = 10  # values of a number that is a choice without being asked for
LISTED = 8  # columns that are named; of more it is said how many

# In a column's name: what is measured, not chosen.
_MEASURED = re.compile(
    r"(^|[^a-z])(acc|accuracy|loss|error|f1|auc|auroc|map|miou|time|seconds|duration|runtime|params|parameters|macs|flops"
    r"|memory|date|timestamp|created|host|hostname|id|uuid|commit)([^a-z]|$)"
)


@dataclass(frozen=True)
class Chosen:
    """The columns that are choices, and why others are not: column by reason."""

    factors: list[str]
    left_out: dict[str, str]

    def sentence(self, what: str) -> str:
        """For the report. what: the word for a column."""
        said = f"Choices, by {what}: {', '.join(self.factors)} (--factors names others)."
        if self.left_out:
            listed = [f"{name} ({why})" for name, why in list(self.left_out.items())[:LISTED]]
            more = len(self.left_out) - len(listed)
            said += f" Left out: {', '.join(listed)}{f' and {more} more' if more > 0 else ''}."
        return said


def named(table: pd.DataFrame, factors: Sequence[str]) -> Chosen:
    """The columns that the user named. Raises InputError where there is none of that name."""
    for name in factors:
        if name not in table:
            raise InputError(
                f"--factors {name}: there is no such column.{nearest(name, map(str, table))} There are"
                f" {', '.join(map(str, table))}."
            )
    return Chosen(list(factors), {})


def guessed(table: pd.DataFrame, what_is: Callable[[pd.Series], str | None], ask: str) -> Chosen:
    """The columns of which `what_is` gives None and that do not follow from others. It gives the reason to leave one
    out, or ASK.

    ask  what the table is called, for the question

    Raises InputError where a column may be either, or none is a choice.
    """
    reasons = {str(name): why for name in table if (why := what_is(table[name])) is not None}
    free = [str(name) for name in table if str(name) not in reasons]
    # Words before numbers: of a model's name and its size, the size follows.
    kept = independent(table, sorted(free, key=lambda name: _is_number(table[name])))
    reasons |= {name: f"follows from {' and '.join(kept)}" for name in free if name not in kept}
    factors = [name for name in free if name in kept]
    if unclear := [name for name, why in reasons.items() if why == ASK]:
        known = " ".join(factors)
        raise InputError(
            f"{ask}: {', '.join(unclear)} may be chosen or measured. Name the choices: `--factors {known}`, and behind"
            f" {'it' if len(factors) < 2 else 'them'} those of {', '.join(unclear)} that are some."
        )
    if not factors:
        listed = ", ".join(f"{name} ({why})" for name, why in reasons.items())
        raise InputError(f"{ask}: nothing looks like a choice that varies: {listed}. Name some with --factors.")
    return Chosen(factors, reasons)


ASK = "?"


def configured(column: pd.Series) -> str | None:
    """Why a value of a configuration is no choice that is compared; None where it is one."""
    values = column.dropna()
    counts = values.map(identity).value_counts()
    if len(counts) < 2 and (len(values) == len(column) or not len(values)):
        return "one value"
    if len(counts) < 2:
        return None  # set in some runs only
    if counts.max() == 1:
        return "another value for every run"
    if values.map(lambda value: len(word(value))).max() > LONG:
        return "long values"
    return None


def tabled(column: pd.Series) -> str | None:
    """Why a column of a table is no choice; ASK where it may be one."""
    values = column.dropna()
    counts = values.value_counts()
    if len(counts) < 2 and len(values) == len(column):
        return "one value"
    if not len(values):
        return "empty"
    if counts.max() == 1:
        return "another value for every run"
    if values.map(lambda value: len(word(value))).max() > LONG:
        return "long values"
    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if is_number and _MEASURED.search(str(column.name).lower()):
        return "measured, by its name"
    if 2 * len(counts) > len(values):
        return "hardly any value repeats"
    is_clear = counts.min() > 1 and len(counts) <= FEW if is_number else True
    return None if is_clear and len(values) == len(column) else ASK


def independent(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The columns without those that follow from the others, of several that follow from each other the first."""
    kept, every = list(columns), _count(table, columns)
    for name in reversed(columns):
        others = [other for other in kept if other != name]
        if _count(table, others) == every:
            kept = others
    return kept


def _is_number(column: pd.Series) -> bool:
    known = [value for value in column if not (isinstance(value, float) and math.isnan(value))]
    return all(isinstance(value, int | float) for value in known)


def _count(table: pd.DataFrame, columns: Sequence[str]) -> int:
    """How many combinations of these columns' values there are."""
    if not columns:
        return 1
    return len(table[list(columns)].map(identity).drop_duplicates())
