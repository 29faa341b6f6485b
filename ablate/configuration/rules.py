"""Rules for values. Each has `refusal(value)`: what is expected instead of `value`, or None if the value is fine."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.errors import nearest

_LARGEST = 2**63 - 1  # the largest number that files of results can hold
_MOST_BLOCKS = 10_000  # ResNet-1202 has 600


@dataclass(frozen=True)
class Number:
    """A finite number from `least` to `most`, and greater than `above` and less than `below`; or one of `words`, which
    may contain None for null."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    whole: bool = False
    words: tuple[Any, ...] = ()

    def refusal(self, value: Any) -> str | None:
        if value in self.words and (value is None or isinstance(value, str)):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            return f"a{' whole' * self.whole} number{self._or_words()} is expected."
        if self.whole and not isinstance(value, int):
            return f"a whole number{self._or_words()} is expected."
        if isinstance(value, float) and math.isinf(value):
            return f"a finite number{self._or_words()} is expected."
        fits = self.least <= value <= self.most and self.above < value < self.below
        return None if fits and not is_too_long(value) else self._range(value)

    def _or_words(self) -> str:
        return "".join(f" or {'null' if word is None else word}" for word in self.words)

    def _range(self, value: float) -> str:
        if self.below < math.inf or self.above > -math.inf:
            low = f"at least {self.least:g}" if self.least > -math.inf else f"above {self.above:g}"
            high = f"below {self.below:g}" if self.below < math.inf else f"at most {self.most:g}"
            no_end = self.below == self.most == math.inf
            return f"it must be {low if no_end else f'{low} and {high}'}."
        if value < self.least:
            return "it must not be negative." if self.least == 0 else f"it must not be below {self.least:g}."
        most = f"{self.most:g}" if math.isfinite(self.most) and self.most < 1e6 else min(self.most, _LARGEST)
        return f"it must not be above {most}."


@dataclass(frozen=True)
class Share:
    """A whole number of batches, or a fraction of all batches (a float from 0 to 1)."""

    least: int = 0

    def refusal(self, value: Any) -> str | None:
        is_count = isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= _LARGEST
        is_part = isinstance(value, float) and (0 < value <= 1 or value == 0 == self.least)
        if value is None or is_count or is_part:
            return None
        return f"a whole number of batches from {self.least} up, or a fraction of them up to 1.0, is expected."


@dataclass(frozen=True)
class Choice:
    """One of `options`."""

    options: tuple[Any, ...]

    def refusal(self, value: Any) -> str | None:
        if any(value is option or (isinstance(value, str) and value == option) for option in self.options):
            return None
        names = [{None: "null", True: "true", False: "false"}.get(option, option) for option in self.options]
        return f"choose one of {', '.join(names)}.{nearest(str(value), names)}"


@dataclass(frozen=True)
class Word:
    """Text of `least` to `most` characters, without those in `without`; or null if `null`."""

    least: int = 1
    most: int = 4096
    without: str = ""
    null: bool = False

    def refusal(self, value: Any) -> str | None:
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            return f"a word{' or null' * self.null} is expected."
        if not self.least <= len(value) <= self.most:
            return f"{self.least} to {self.most} characters are expected, not {len(value)}."
        if found := [character for character in self.without if character in value]:
            return f"it must not contain {' '.join(found)}."
        return None


@dataclass(frozen=True)
class Listed:
    """A list whose items satisfy `each`, of `length` if given; or null if `null`."""

    each: "Rule"
    length: int | None = None
    null: bool = False

    def refusal(self, value: Any) -> str | None:
        if value is None and self.null:
            return None
        if not isinstance(value, Sequence) or isinstance(value, str):
            return "a list is expected."
        if self.length is not None and len(value) != self.length:
            return f"a list of {self.length} is expected, not of {len(value)}."
        return next((f"{item!r}: {why}" for item in value if (why := self.each.refusal(item))), None)


@dataclass(frozen=True)
class Blocks:
    """Blocks per stage: a list, and not too many in all. The network checks the rest."""

    def refusal(self, value: Any) -> str | None:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return "a list of numbers is expected."
        total = sum(count for count in value if isinstance(count, int | float))
        return f"{total:,} blocks; a network has at most {_MOST_BLOCKS:,}." if total > _MOST_BLOCKS else None


@dataclass(frozen=True)
class Part:
    """A mapping with a _target_, which is instantiated; or null."""

    def refusal(self, value: Any) -> str | None:
        if value is None or (isinstance(value, Mapping) and "_target_" in value):
            return None
        return "{_target_: module.Class} is expected."


def is_too_long(value: float) -> bool:
    """Whether `value` is a whole number that does not fit into 64 bits, as files of results need it."""
    return isinstance(value, int) and not -_LARGEST <= value <= _LARGEST


Rule = Number | Share | Choice | Word | Listed | Blocks | Part
