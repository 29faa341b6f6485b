"""Whether a difference is too small to matter: two one-sided tests.

Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach", Journal of Pharmacokinetics
and Biopharmaceutics 15, 657-680. A difference that is not found is not thereby small; this test can say that it is.
"""

import math

from scipy import stats

from ablate.statistics.paired import Difference


def equivalence_p(difference: Difference, margin: float) -> float | None:
    """The larger p of two paired t-tests: that the true difference is above -margin, and that it is below it.

    margin  in the metric's own units, above 0

    Seeds that all agree have no spread for t: there it is the exact sign test of their lying within. None of one seed.
    """
    if difference.mean is None or difference.n < 2:
        return None
    if not difference.deviation:
        return 0.5**difference.n if abs(difference.mean) < margin else 1.0
    error = difference.deviation / math.sqrt(difference.n)
    return float(stats.t.sf((margin - abs(difference.mean)) / error, difference.df))
