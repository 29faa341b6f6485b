"""Which test carries a verdict, and what the verdict is.

One rule. The paired t-test, while every seed ended and none fell away from the others. Where seeds diverged, or a
variant's seeds fall into two groups, means and Student's t are meaningless: Wilcoxon's exact rank sum decides, with the
diverged below every number, and whoever lost more seeds is never called better. Where all seeds differ by exactly the
same, there is no spread for t, and the exact sign flips decide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ablate.statistics.exact import fisher_p, least_p_rank_sum, rank_sum_p
from ablate.statistics.paired import LEVEL, Difference, least_p_sign_flip

# What a verdict is where it is neither better nor worse.
EQUIVALENT, UNDECIDED, TOO_FEW = "equivalent", "undecided", "too few seeds"


class Outcome(StrEnum):
    """What the seeds of two sides are like."""

    NORMAL = "normal enough"
    LOST = "seeds lost"
    SPLIT = "seeds split"
    ALIKE = "no spread"
    FEW = "too few seeds"


TESTS = {
    Outcome.NORMAL: "paired t-test",
    Outcome.LOST: "exact rank test, diverged seeds last",
    Outcome.SPLIT: "exact rank test",
    Outcome.ALIKE: "exact sign flips",
    Outcome.FEW: "no test",
}
# Where seeds do not pair.
UNPAIRED_TESTS = TESTS | {Outcome.NORMAL: "Welch's t-test", Outcome.ALIKE: "exact rank test"}


@dataclass(frozen=True)
class Test:
    """The test of one side against the baseline's.

    p              two-sided, not corrected; None without a test
    direction      1 where it is better, -1 where it is worse, as the test sees it
    n              of both sides, how many seeds are compared: the pairs, or by ranks all that have ended
    lost, low      of both sides, how many of these diverged, and how many ended in the lower of two groups
    is_paired      whether the seeds of both sides pair
    """

    outcome: Outcome
    p: float | None
    direction: int
    n: tuple[int, int]
    lost: tuple[int, int] = (0, 0)
    low: tuple[int, int] = (0, 0)
    is_paired: bool = True

    @property
    def name(self) -> str:
        return (TESTS if self.is_paired else UNPAIRED_TESTS)[self.outcome]

    @property
    def has_interval(self) -> bool:
        """Whether Student's interval of the mean difference means something."""
        return self.outcome in (Outcome.NORMAL, Outcome.ALIKE, Outcome.FEW)

    @property
    def least_p(self) -> float:
        """The smallest p that so many seeds can give, whatever the data."""
        if self.outcome in (Outcome.LOST, Outcome.SPLIT) or (self.outcome is Outcome.ALIKE and not self.is_paired):
            return least_p_rank_sum(*self.n)
        return least_p_sign_flip(self.n[0]) if self.outcome is Outcome.ALIKE else 0.0

    @property
    def fallen(self) -> tuple[int, int]:
        """Of both sides, the seeds that diverged or ended low."""
        return self.lost[0] + self.low[0], self.lost[1] + self.low[1]

    @cached_property
    def p_fallen(self) -> float | None:
        """Of Fisher's exact test that both lose, or have low, one share of their seeds; None where neither does."""
        return fisher_p(self.fallen, self.n) if any(self.fallen) else None

    def verdict(self, p_holm: float | None, p_equivalent: float | None = None) -> str:
        """better or worse, or why that cannot be said.

        p_holm        p after correction
        p_equivalent  that of the two one-sided tests of a margin, after correction
        """
        (n, m), (lost, lost_by_baseline) = self.n, self.lost
        if n and lost == n and lost_by_baseline < max(1, m):
            return "diverged"
        if p_holm is None:
            return TOO_FEW if n and m else "no pair yet"
        ours, theirs = (fallen * others for fallen, others in zip(self.fallen, (m, n), strict=True))
        # Ranks may favour who loses more seeds, if the others are good enough: nobody would call that better.
        if p_holm >= LEVEL or not self.direction or (ours - theirs) * self.direction > 0:
            if self.least_p >= LEVEL:
                return TOO_FEW
            return EQUIVALENT if p_equivalent is not None and p_equivalent < LEVEL else UNDECIDED
        return "better" if self.direction > 0 else "worse"


def assessed(
    difference: Difference | None,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    sign: int = 1,
    low: tuple[int, int] = (0, 0),
) -> Test:
    """Which test decides, and its result.

    difference    over the seeds that both have finished, in the metric's own units; sign is -1 where less is better
    ours, theirs  of all seeds that have ended: larger is better, -inf is a run that diverged
    low           of both sides, how many of these seeds ended in the lower of two groups; 0 where all runs of both did
    """
    n = (len(ours), len(theirs))
    lost = (ours.count(-math.inf), theirs.count(-math.inf))
    if not any(lost) and not any(low):
        return paired(difference, sign)
    outcome = Outcome.LOST if any(lost) else Outcome.SPLIT
    higher = _sign(sum(a > b for a in ours for b in theirs) - sum(a < b for a in ours for b in theirs))
    return Test(outcome, rank_sum_p(ours, theirs) if min(n) > 1 else None, higher, n, lost, low)


def paired(difference: Difference | None, sign: int = 1) -> Test:
    """The test of differences whose seeds have all ended and are of one kind."""
    n = (difference.n, difference.n) if difference else (0, 0)
    if difference is None or difference.n < 2:
        return Test(Outcome.FEW, None, 0, n)
    direction = sign * _sign(difference.mean or 0.0)
    if difference.p is None:
        return Test(Outcome.ALIKE, difference.p_sign_flip, direction, n)
    return Test(Outcome.NORMAL, difference.p, direction, n)


def _sign(number: float) -> int:
    return int(number > 0) - int(number < 0)
