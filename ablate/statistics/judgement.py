"""Chooses the test for a verdict, and states the verdict.

- Usually: the paired t-test.
- If seeds diverged, or a variant's seeds fall into two groups, means and Student's t are meaningless. Then Wilcoxon's
  exact rank sum test decides, with diverged seeds below every number. A side that lost more seeds is never called
  better.
- If all seeds differ by exactly the same, a t-test has no spread. Then the exact sign-flip test decides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ablate.statistics.exact import fisher_p, rank_sum_p
from ablate.statistics.paired import LEVEL, Difference, least_p_sign_flip
from ablate.statistics.reach import least_p_rank_sum

# Verdicts other than better and worse.
EQUIVALENT, UNDECIDED, TOO_FEW = "equivalent", "undecided", "too few seeds"


class Outcome(StrEnum):
    """What the seeds of two sides look like, which decides the test."""

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
    """The test of a variant against the baseline. Pairs of numbers are (variant, baseline).

    p          two-sided, not corrected; None without a test
    direction  1 if the variant is better by this test, -1 if it is worse, 0 if equal
    n          how many seeds are compared: pairs, or for a rank test all seeds that have ended
    lost       how many of these diverged
    low        how many of these ended in the lower of two groups
    is_paired  whether the seeds of both sides pair
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
        """Whether Student's confidence interval of the mean difference is meaningful."""
        return self.outcome in (Outcome.NORMAL, Outcome.ALIKE, Outcome.FEW)

    @property
    def least_p(self) -> float:
        """The smallest p that the test can give with this many seeds."""
        if self.outcome in (Outcome.LOST, Outcome.SPLIT) or (self.outcome is Outcome.ALIKE and not self.is_paired):
            return least_p_rank_sum(*self.n)
        return least_p_sign_flip(self.n[0]) if self.outcome is Outcome.ALIKE else 0.0

    @property
    def fallen(self) -> tuple[int, int]:
        """How many seeds diverged or ended in the lower group, on both sides."""
        return self.lost[0] + self.low[0], self.lost[1] + self.low[1]

    @cached_property
    def p_fallen(self) -> float | None:
        """p of Fisher's exact test that the same share of seeds has `fallen` on both sides; None if none has."""
        return fisher_p(self.fallen, self.n) if any(self.fallen) else None

    def verdict(self, p_holm: float | None, p_equivalent: float | None = None) -> str:
        """better or worse, or why it is neither.

        p_holm        `p`, corrected
        p_equivalent  the corrected p of two one-sided tests against a margin; None without a margin
        """
        (n, m), (lost, lost_by_baseline) = self.n, self.lost
        if n and lost == n and lost_by_baseline < max(1, m):
            return "diverged"
        if p_holm is None:
            return TOO_FEW if n and m else "no pair yet"
        ours, theirs = (fallen * others for fallen, others in zip(self.fallen, (m, n), strict=True))
        # Ranks may favour the side that lost more seeds, if its other seeds are good enough. That is not called better.
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
    """Choose the test and run it.

    difference    over the seeds that both sides have finished, in the metric's own units
    ours, theirs  the results of all seeds that have ended: larger is better, -inf is a diverged run
    sign          -1 if less of the metric is better, else 1
    low           on both sides, how many seeds ended in the lower of two groups; (0, 0) if all runs of both sides did
    """
    n = (len(ours), len(theirs))
    lost = (ours.count(-math.inf), theirs.count(-math.inf))
    if not any(lost) and not any(low):
        return paired(difference, sign)
    outcome = Outcome.LOST if any(lost) else Outcome.SPLIT
    higher = _sign(sum(a > b for a in ours for b in theirs) - sum(a < b for a in ours for b in theirs))
    return Test(outcome, rank_sum_p(ours, theirs) if min(n) > 1 else None, higher, n, lost, low)


def paired(difference: Difference | None, sign: int = 1) -> Test:
    """The test for seeds that have all finished and do not fall into two groups."""
    n = (difference.n, difference.n) if difference else (0, 0)
    if difference is None or difference.n < 2:
        return Test(Outcome.FEW, None, 0, n)
    direction = sign * _sign(difference.mean or 0.0)
    if difference.p is None:
        return Test(Outcome.ALIKE, difference.p_sign_flip, direction, n)
    return Test(Outcome.NORMAL, difference.p, direction, n)


def _sign(number: float) -> int:
    return int(number > 0) - int(number < 0)
