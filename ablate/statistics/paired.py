"""Paired differences of a few seeds: their intervals, tests and power.

Two variants with the same seed share initialisation and batches, so they are compared seed by seed. Bouthillier et al.
2021 (arXiv 2103.03098) explain where a result's variance comes from, and why pairing removes much of it. Agarwal et al.
2021 (arXiv 2108.13264) explain why a few runs need interval estimates instead of points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from scipy import optimize, stats

from ablate.statistics import reach

LEVEL = reach.LEVEL
POWER = 0.8
# A spread below this share of the values is none: metrics are float32, whose rounding is 6e-8 of an accuracy, so a few
# 1e-6 of the difference of two accuracies.
ROUNDING = 1e-5
EXACT = 2**16  # with at most 16 seeds all sign flips are counted; beyond, this many are drawn at random


@dataclass(frozen=True)
class Estimate:
    """The mean of n values, with its 95% confidence interval by Student's t if there is more than one."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float | None:
        return float(np.mean(self.values)) if self.values else None

    @cached_property
    def deviation(self) -> float | None:
        """The sample standard deviation; None for fewer than two values."""
        if self.n < 2:
            return None
        spread = max(self.values) - min(self.values)
        return float(np.std(self.values, ddof=1)) if spread > ROUNDING * max(map(abs, self.values)) else 0.0

    @property
    def df(self) -> int:
        """The deviation's degrees of freedom."""
        return self.n - 1

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        return self.interval_at(LEVEL)

    def interval_at(self, level: float) -> tuple[float, float] | None:
        """The 1 - `level` confidence interval; None without spread."""
        if self.mean is None or not self.deviation:
            return None
        # Computed here, like p below: scipy.stats.ttest_1samp takes 0.56 ms for both instead of 0.25 ms, and `simulate`
        # would take twice as long.
        half = float(stats.t.ppf(1 - level / 2, self.df)) * self.deviation / math.sqrt(self.n)
        return self.mean - half, self.mean + half


class Difference(Estimate):
    """The mean of paired differences, one per seed, and its tests."""

    @cached_property
    def p(self) -> float | None:
        """p of the two-sided paired t-test; None for one seed, or if all seeds differ by the same (no spread)."""
        if self.mean is None or self.n < 2:
            return None
        if not self.deviation:
            return 1.0 if self.mean == 0 else None
        return float(2 * stats.t.sf(abs(self.mean) / self.deviation * math.sqrt(self.n), self.df))

    @cached_property
    def p_sign_flip(self) -> float | None:
        """Two-sided p of the sign-flip (permutation) test, which only assumes symmetric differences."""
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
        """The smallest p_sign_flip that this many seeds can give."""
        return least_p_sign_flip(self.n)

    def detectable(self, level: float = LEVEL) -> float | None:
        """The true difference that a test at `level` finds with 80% probability, with this many seeds and this
        spread."""
        return detectable_effect(self.n, level) * self.deviation if self.deviation else None


def power(effect: float, n: int, level: float) -> float:
    """The probability that a two-sided paired t-test with n seeds finds an effect, with the right sign.

    effect  the true mean difference, in standard deviations of the differences
    """
    return float(stats.nct.sf(stats.t.isf(level / 2, n - 1), n - 1, effect * math.sqrt(n)))


@cache
def detectable_effect(n: int, level: float) -> float:
    """The difference, in standard deviations, that n seeds find with 80% probability."""
    # Not statsmodels' TTestPower.solve_power: for few seeds and a corrected level it returns wrong numbers without a
    # warning, such as 4.29 (whose power is 0.61) for n = 3 at 0.05/3, where 5.67 is right.
    high = 1.0
    while power(high, n, level) < POWER:
        high *= 2
    return float(optimize.brentq(lambda effect: power(effect, n, level) - POWER, 0.0, high))


def least_p_sign_flip(n: int) -> float:
    """The smallest p of the sign-flip test with n seeds: 2/2^n if all flips are counted, else 2/(EXACT + 1)."""
    return min(1.0, 2 / 2**n if 2**n <= EXACT else 2 / (EXACT + 1))


def seeds_for_sign_flip(level: float = LEVEL) -> int:
    """The fewest seeds whose sign flips can reach `level`: 6 for 0.05."""
    return next(n for n in range(1, 64) if least_p_sign_flip(n) <= level)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values after Holm's correction for all of them. None means no test: it stays None and does not count."""
    # Computed here: statsmodels' multipletests runs the garbage collector at each call, which takes 0.2 s.
    values = np.array([value for value in p if value is not None])
    order = np.argsort(values)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    after = iter(corrected.tolist())
    return [None if before is None else next(after) for before in p]


@dataclass(frozen=True)
class Outperforming:
    """How often one variant beat the other on the same seed: estimates the probability of winning on a new seed.

    This is P(A > B) of Bouthillier et al. 2021, who call a difference meaningful above 0.75. Ties count half. The 95%
    interval is Wilson's, because their bootstrap interval has no width if one variant always wins.
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
    """Compare pair by pair; larger is better. A diverged run is -inf: it loses to every number, and ties with another
    diverged run. None without pairs."""
    pairs = list(zip(better, other, strict=True))
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
    return Outperforming(wins, len(pairs)) if pairs else None


def variance_shares(
    values: Sequence[float], seeds: Sequence[int], factors: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """How much of the results' variance each factor, each pair of factors and the seed explain.

    An analysis of variance with seeds as blocks, for runs that cross all factors. Interactions of three or more factors
    are part of the residual. Returns rows with source, df, sum_sq, share, F and p. The last row is the residual,
    without F and p.
    """
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    names = {f"f{i}": factor for i, factor in enumerate(factors)}  # a formula needs plain names
    frame = pd.DataFrame({"y": values, "seed": seeds} | {n: list(map(str, factors[f])) for n, f in names.items()})
    terms = " + ".join(f"C({name})" for name in names)
    crossed = f"({terms})**2" if len(names) > 1 else terms
    blocks = "C(seed) + " if frame["seed"].nunique() > 1 else ""
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing is left to explain, F is infinite
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
