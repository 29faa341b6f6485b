"""What a number of seeds can reach at best, whatever they show. Takes no SciPy, so that a plan can ask it."""

import math
from collections.abc import Sequence

LEVEL = 0.05


def least_p_rank_sum(n: int, m: int) -> float:
    """The smallest p that `exact.rank_sum_p` can give with n and m seeds: 0.1 for 3 and 3, 0.00016 for 8 and 8."""
    return min(1.0, 2 / math.comb(n + m, n))


def tests_of(variants: int, levels: Sequence[int]) -> int:
    """How many tests a report corrects for: each variant against the baseline and, where choices of so many values are
    crossed in full, their main effects and those of two together. 6 for two choices of two values."""
    effects = [count - 1 for count in levels]
    is_crossed = len(effects) > 1 and variants == math.prod(levels)
    pairs = (sum(effects) ** 2 - sum(effect**2 for effect in effects)) // 2
    return variants - 1 + (sum(effects) + pairs if is_crossed else 0)


def seeds_for_ranks(tests: int = 1) -> int:
    """The fewest seeds on each side whose ranks can fall below LEVEL after correction for so many tests: 4 for one, 5
    for six."""
    return next(n for n in range(2, 64) if tests * least_p_rank_sum(n, n) < LEVEL)
