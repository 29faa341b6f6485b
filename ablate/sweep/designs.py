"""Designs other than the full grid: which combinations of options to run.

A choice has several options, and the first is the baseline's. A design is a list of changes: for each variant, the
choices that are not at their first option.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.errors import InputError

Choices = Mapping[str, Sequence[Any]]
Change = dict[str, Any]
MOST = 23  # choices in a screen: more would need 28 runs, and pydoe has no such Plackett-Burman design


def one_at_a_time(choices: Choices) -> list[Change]:
    """The baseline, and variants that change a single choice: one for each other option."""
    return [{}, *({name: option} for name, options in choices.items() for option in options[1:])]


def leave_one_out(choices: Choices) -> list[Change]:
    """The full method, with every choice at its second option, and variants in which one choice is left at its first.

    Raises InputError unless each choice has two options.
    """
    _check_two(choices, "the first without the part, the second with it")
    full = {name: options[1] for name, options in choices.items()}
    return [full, *({key: option for key, option in full.items() if key != name} for name in choices)]


def pairs(choices: Choices) -> list[Change]:
    """The baseline, each change alone, and each pair of changes of different choices."""
    alone = one_at_a_time(choices)
    both = [{a: x, b: y} for a, b in combinations(choices, 2) for x, y in product(choices[a][1:], choices[b][1:])]
    return [*alone, *both]


def screen(choices: Choices) -> list[Change]:
    """A balanced design that changes choices together, in the fewest runs (see `matrix`). The baseline is first.

    Raises InputError unless each choice has two options, and for fewer than three or too many choices.
    """
    _check_two(choices, "before and after the change")
    return _changes(choices, matrix(len(choices)))


def folded_screen(choices: Choices) -> list[Change]:
    """A screen and its mirror image: no main effect is aliased with an interaction of two choices. Raises InputError as
    `screen` does."""
    _check_two(choices, "before and after the change")
    half = matrix(len(choices))
    return _changes(choices, np.unique(np.vstack([half, -half]), axis=0))


def matrix(count: int) -> NDArray[np.int64]:
    """The screen of `count` choices, (runs, choices): -1 for a choice's first option, 1 for its second. The first row
    is the baseline.

    The number of runs n is the next multiple of 4 above the number of choices. If n is a power of two, this is the
    fractional factorial of the highest resolution (Box, Hunter and Hunter 2005), else the design of Plackett and Burman
    (1946). The signs of pydoe's tables are changed so that the baseline is among the runs.

    Raises InputError without pydoe, for fewer than three choices and for more than MOST.
    """
    if not 3 <= count <= MOST:
        raise InputError(
            f"A screen takes 3 to {MOST} choices; this file has {count}."
            f"{' For so few, use --one-at-a-time or the grid itself.' if count < 3 else ''}"
        )
    try:
        import pydoe
    except ImportError as error:
        raise InputError("--screen needs the library pydoe: python -m pip install 'ablate-resnet[pydoe]'.") from error
    runs = 4 * (count // 4 + 1)
    if runs & (runs - 1) == 0:
        table = next(t for level in (5, 4, 3) if len(t := pydoe.fracfact_by_res(count, level)) == runs)
    else:
        table = pydoe.pbdesign(count)
    turned = np.rint(table * -table[-1]).astype(np.int64)
    return turned[::-1]


DESIGNS: dict[str, Callable[[Choices], list[Change]]] = {
    "one-at-a-time": one_at_a_time,
    "leave-one-out": leave_one_out,
    "pairs": pairs,
    "screen": screen,
}


def _changes(choices: Choices, rows: Iterable[Sequence[int]]) -> list[Change]:
    return [
        {name: options[1] for (name, options), level in zip(choices.items(), row, strict=True) if level > 0}
        for row in rows
    ]


def _check_two(choices: Choices, which: str) -> None:
    for name, options in choices.items():
        if len(options) != 2:
            raise InputError(f"{name} has {len(options)} options: this design needs two for each choice, {which}.")
