"""What a source of runs is asked for, and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ablate.comparison.results import Result


@dataclass(frozen=True)
class Asked:
    """What was typed about runs that this tool did not make. What is None or empty is found out, and said.

    - metric: what is compared
    - seed: the column of the seed
    - status: the column that says how a run ended
    - factors: the columns of the choices
    - pair: whether runs of one seed pair: they share initialisation and batches
    - average: whether several runs of the same choices and seed count as their mean
    - chance: the accuracy of guessing
    - where: a filter of the tracker's, as its API takes it
    """

    metric: str | None = None
    seed: str | None = None
    status: str | None = None
    factors: Sequence[str] = ()
    pair: bool = False
    average: bool = False
    chance: float | None = None
    where: dict[str, Any] | None = None


@dataclass(frozen=True)
class Found:
    """Runs, and how they may be compared.

    metric  what is compared; None: what is usual of this tool's runs
    said    how the source was read: sentences for the report
    """

    results: list[Result]
    metric: str | None = None
    is_paired: bool = True
    chance: float | None = None
    said: list[str] = field(default_factory=list)


class Source(Protocol):
    """Where runs come from."""

    def __call__(self, names: Sequence[str], asked: Asked) -> Found:
        """The runs of what was typed. Raises InputError where there are none, or something has to be asked."""
