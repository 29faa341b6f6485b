"""Whether a difference is too small to matter: two one-sided tests.

Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach", Journal of Pharmacokinetics
and Biopharmaceutics 15, 657-680. A difference that is not significant need not be small; this test can show that it is.
"""

import math

from scipy import stats

from ablate.statistics.paired import Difference


def equivalence_p(difference: Difference, margin: float) -> float | None:
    """The larger p of two one-sided paired t-tests: is the true difference above -margin, and is it below margin?

    margin  in the metric's own units, above 0

    If all seeds differ by exactly the same, there is no spread for a t-test: then it is the p of an exact sign test
    that they are within the margin. None for fewer than two seeds.
    """
    if difference.mean is None or difference.n < 2:
        return None
    if not difference.deviation:
        return 0.5**difference.n if abs(difference.mean) < margin else 1.0
    error = difference.deviation / math.sqrt(difference.n)
    return float(stats.t.sf((margin - abs(difference.mean)) / error, difference.df))
