"""A run that this tool did not make: what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ablate.comparison.results import Result
from ablate.comparison.series import NO_POINTS
from ablate.configuration.values import word
from ablate.runs.record import RunRecord

# What a record says where nothing is known.
NOWHERE: dict[str, Any] = {
    "hardware": {"gpus": [], "cpu": ""},
    "python": "",
    "packages": {},
    "data_checksum": "",
}
_CONFIG: dict[str, Any] = {}


def record(status: str, seed: int, **known: Any) -> RunRecord:
    """The record of a run of which only this is known."""
    return RunRecord(status=status, seed=seed, provenance=NOWHERE, **known)


@dataclass(frozen=True)
class Foreign(Result):
    """A run of another program's. Its choices are those of its record, and it cannot be made again from here.

    at      where a person finds it, such as a line of a file
    curves  metrics by name: (epoch or step, value) rows
    """

    at: str | None = None
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, known: RunRecord, at: str | None = None, curves: Mapping[str, np.ndarray] | None = None) -> "Foreign":
        return cls(None, known, _CONFIG, at, curves or {})

    @cached_property
    def typed(self) -> dict[str, str]:
        return {key: f"{key}={word(value)}" for key, value in self.record.choices.items()}

    @property
    def overrides(self) -> None:
        return None

    @property
    def place(self) -> str | None:
        return self.at

    @property
    def name(self) -> str:
        return self.at or self.record.name

    def value(self, key: str) -> Any:
        return self.record.choices.get(key)

    def has(self, key: str) -> bool:
        return key in self.record.choices

    def default(self, key: str) -> Any:
        """Nothing: the first run's value is the baseline's."""
        return None

    def points(self, name: str, by: str = "epoch") -> np.ndarray:
        return self.curves.get(name, NO_POINTS)
