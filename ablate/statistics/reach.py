"""What a number of seeds can reach at best, whatever they show. Takes no SciPy, so that a plan can ask it."""

import math

LEVEL = 0.05


def least_p_rank_sum(n: int, m: int) -> float:
    """The smallest p that `exact.rank_sum_p` can give with n and m seeds: 0.1 for 3 and 3, 0.00016 for 8 and 8."""
    return min(1.0, 2 / math.comb(n + m, n))


def seeds_for_ranks(tests: int = 1) -> int:
    """The fewest seeds on each side whose ranks can fall below LEVEL after correction for so many tests: 4 for one, 5
    for six."""
    return next(n for n in range(2, 64) if tests * least_p_rank_sum(n, n) < LEVEL)
