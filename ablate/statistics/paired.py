"""What a few seeds can say: paired differences, their intervals, and how sure one may be.

Two variants that share a seed share initialisation and batches, so they are compared by their differences seed by
seed. Bouthillier et al. 2021 (arXiv 2103.03098) tell where a result's variance comes from and why pairing removes much
of it; Agarwal et al. 2021 (arXiv 2108.13264) why few runs call for interval estimates rather than points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05
POWER = 0.8
EXACT = 2**16  # up to 16 seeds every sign flip is counted; beyond, that many are drawn


@dataclass(frozen=True)
class Estimate:
    """A mean of n values with its 95% interval by Student's t, which one value alone does not have."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.values)) if self.values else None

    @cached_property
    def deviation(self) -> float | None:
        """The sample's standard deviation."""
        if self.n < 2:
            return None
        # What rounding leaves of equal values is no spread.
        spread = max(self.values) - min(self.values)
        return float(np.std(self.values, ddof=1)) if spread > 1e-12 * max(map(abs, self.values)) else 0.0

    @property
    def df(self) -> int:
        """The deviation's degrees of freedom."""
        return self.n - 1

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        return self.interval_at(LEVEL)

    def interval_at(self, level: float) -> tuple[float, float] | None:
        """The interval that misses the true mean with this probability."""
        if self.mean is None or not self.deviation:
            return None
        # By hand, as p below: scipy.stats.ttest_1samp takes 0.56 ms for both instead of 0.25 ms, and `simulate`
        # twice as long.
        half = float(stats.t.ppf(1 - level / 2, self.df)) * self.deviation / math.sqrt(self.n)
        return self.mean - half, self.mean + half


class Difference(Estimate):
    """The mean of differences, one per seed, and what tests say of it."""

    @cached_property
    def p(self) -> float | None:
        """p of the two-sided paired t-test; None with one seed, or seeds that all agree, which show no spread."""
        if self.mean is None or self.n < 2:
            return None
        if not self.deviation:
            return 1.0 if self.mean == 0 else None
        return float(2 * stats.t.sf(abs(self.mean) / self.deviation * math.sqrt(self.n), self.df))

    @cached_property
    def p_sign_flip(self) -> float | None:
        """Two-sided p, by flipping the signs of the differences. It assumes nothing but their symmetry."""
        if self.n < 2:
            return 1.0 if self.n else None
        test = stats.permutation_test(
            (np.asarray(self.values),),
            lambda x, axis: np.mean(x, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=EXACT,
            batch=4096,
            rng=np.random.default_rng(0),
        )
        return float(test.pvalue)

    @property
    def least_p_sign_flip(self) -> float:
        """The smallest p_sign_flip that so many seeds can give, whatever the data."""
        return least_p_sign_flip(self.n)

    def detectable(self, level: float = LEVEL) -> float | None:
        """The true difference that so many seeds of this spread find with 80% probability, testing at `level`."""
        return detectable_effect(self.n, level) * self.deviation if self.deviation else None


def power(effect: float, n: int, level: float) -> float:
    """The probability that a two-sided paired t-test of n seeds finds an effect of so many deviations, and its sign."""
    return float(stats.nct.sf(stats.t.isf(level / 2, n - 1), n - 1, effect * math.sqrt(n)))


@cache
def detectable_effect(n: int, level: float) -> float:
    """The difference, in deviations, that n seeds find with 80% probability."""
    # Not by statsmodels' TTestPower.solve_power: for few seeds and a corrected level it returns wrong numbers without a
    # warning, such as 4.29 for n = 3 at 0.05/3, whose power is 0.61; 5.67 is right.
    high = 1.0
    while power(high, n, level) < POWER:
        high *= 2
    return float(optimize.brentq(lambda effect: power(effect, n, level) - POWER, 0.0, high))


def least_p_sign_flip(n: int) -> float:
    """2/2^n where every flip is counted; of EXACT that are drawn, the observed signs make one more."""
    return min(1.0, 2 / 2**n if 2**n <= EXACT else 2 / (EXACT + 1))


def seeds_for_sign_flip(level: float = LEVEL) -> int:
    """The fewest seeds whose sign flips can reach `level`: 6 for 0.05."""
    return next(n for n in range(1, 64) if least_p_sign_flip(n) <= level)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's correction for all of these tests. None stands for no test: it stays None and does not count."""
    # By hand, since statsmodels' multipletests collects garbage at each call, a fifth of a second.
    values = np.array([value for value in p if value is not None])
    order = np.argsort(values)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    after = iter(corrected.tolist())
    return [None if before is None else next(after) for before in p]


@dataclass(frozen=True)
class Outperforming:
    """How often one variant beat the other on the same seed: estimates the probability of winning on a new seed.

    Bouthillier et al. 2021's P(A > B), who call a difference meaningful above 0.75. Ties count half. The 95% interval
    is Wilson's: their bootstrap has no width where one variant always won.
    """

    wins: float
    n: int

    @property
    def share(self) -> float:
        return self.wins / self.n

    @property
    def interval(self) -> tuple[float, float]:
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(self.wins, self.n, alpha=LEVEL, method="wilson")
        return float(low), float(high)


def outperforming(better: Sequence[float], other: Sequence[float]) -> Outperforming | None:
    """Pair by pair, larger is better. A run that diverged is -inf: it loses to every number and ties with its like."""
    pairs = list(zip(better, other, strict=True))
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
    return Outperforming(wins, len(pairs)) if pairs else None


def variance_shares(
    values: Sequence[float], seeds: Sequence[int], factors: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """How much of the results' variance each factor, each pair of factors and the seed explain.

    An analysis of variance of runs that cross all factors, seeds as blocks, interactions of three and more left in the
    residual: rows of source, df, sum_sq, share, F, p; the last is the residual, without F and p.
    """
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    names = {f"f{i}": factor for i, factor in enumerate(factors)}  # a formula needs plain names
    frame = pd.DataFrame({"y": values, "seed": seeds} | {n: list(map(str, factors[f])) for n, f in names.items()})
    terms = " + ".join(f"C({name})" for name in names)
    crossed = f"({terms})**2" if len(names) > 1 else terms
    blocks = "C(seed) + " if frame["seed"].nunique() > 1 else ""
    table = anova_lm(ols(f"y ~ {blocks}{crossed}", frame).fit())
    total = float(table["sum_sq"].sum())

    def source(term: str) -> str:
        parts = [part.removeprefix("C(").removesuffix(")") for part in term.split(":")]
        return " × ".join(names.get(part, part.lower()) for part in parts)

    def finite(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return [
        {
            "source": source(str(term)),
            "df": int(row["df"]),
            "sum_sq": float(row["sum_sq"]),
            "share": float(row["sum_sq"]) / total if total else 0.0,
            "F": finite(row["F"]),
            "p": finite(row["PR(>F)"]),
        }
        for term, row in table.iterrows()
    ]
