"""What a comparison found, and the sentences that tell it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.report.numbers import numbered, p_phrase, unit
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import TOO_FEW, Outcome, Test
from ablate.statistics.paired import LEVEL, Difference
from ablate.statistics.splits import is_at_chance

LISTED = 4
LEARN, FALL = ("never learn", "never learns"), ("end in the worse of two groups", "ends in the worse of two groups")


@dataclass(frozen=True)
class Finding:
    """One thing that can matter: a choice's main effect, or a variant where choices are not crossed."""

    choice: str
    subject: str
    difference: Difference | None
    test: Test
    p_holm: float | None
    verdict: str
    p_equivalent: float | None = None
    effect: Effect | None = None

    @property
    def size(self) -> float:
        return abs(self.difference.mean or 0.0) if self.difference else 0.0

    @property
    def is_certain(self) -> bool:
        """Whether the verdict is certain; of a variant that always diverges, that the baseline does so less often."""
        always = self.verdict in ("diverged", "lost") and self.p_holm is not None and self.p_holm < LEVEL
        return always or self.verdict in ("better", "worse")

    @property
    def has_interval(self) -> bool:
        """Whether the interval of the mean difference is meaningful; else ranks decide."""
        return self.test.has_interval and self.difference is not None

    @property
    def again(self) -> str:
        """The subject where the choice has just been named."""
        return "it" if self.subject == self.choice else self.subject


def findings(comparison: Comparison) -> list[Finding]:
    """Main effects where choices are crossed, else the variants; the largest difference first."""
    main = [effect for effect in comparison.effects if len(effect.factors) == 1]
    found = [_of_effect(effect) for effect in main] or [
        Finding(
            variant.label,
            variant.label,
            variant.difference,
            variant.test,
            variant.p_holm,
            variant.verdict,
            variant.p_equivalent,
        )
        for variant in comparison.variants
        if variant.test and all(variant.test.n)
    ]
    return sorted(found, key=lambda finding: -finding.size)


def _of_effect(effect: Effect) -> Finding:
    (factor,), (value,), (was,) = effect.factors, effect.values, effect.baseline
    subject = f"{factor}={word(value)} instead of {word(was)}"
    return Finding(
        factor, subject, effect.difference, effect.test, effect.p_holm, effect.verdict, effect.p_equivalent, effect
    )


def told(comparison: Comparison, finding: Finding) -> str:
    """The mean difference with its interval, test and number of seeds, and what it is averaged over."""
    difference, of = finding.difference, unit(comparison.metric)
    assert difference is not None
    said = f"{of.change(difference.mean)}{of.of_difference}"
    if difference.n == 1:
        return f"{said} (one seed: no interval){_over(finding)}"
    if difference.interval is None:
        why = (
            "no interval, as one side is at chance in every seed"
            if difference.deviation
            else "every seed gives the same"
        )
        how = f"{finding.test.name}, {p_phrase(finding.p_holm)} after correction, {numbered(difference.n, 'seed')}"
        return f"{said} ({why}: {how}){_over(finding)}"
    interval = of.interval(difference.interval, changes=True)
    how = f"{p_phrase(finding.p_holm)} after correction, {numbered(difference.n, 'seed')}"
    return f"{said} (95% CI {interval}, {how}){_over(finding)}"


def _over(finding: Finding) -> str:
    effect = finding.effect
    if effect is None:
        return ""
    if effect.aliases is not None:
        return f", by {2 * effect.contexts} combinations, half of them with it"
    of = f"{effect.contexts} of {effect.possible}" if effect.left_out else f"{effect.contexts}"
    said = f", averaged over {of} combination{'' if effect.possible == 1 else 's'} of the other choices"
    if effect.missing:
        runs = f"{numbered(effect.missing, 'run')} {'is' if effect.missing == 1 else 'are'} missing"
        said += f" ({runs}: least squares with seeds as blocks)"
    return said


def lacking(finding: Finding) -> str:
    """Which combinations an average lacks, to be said before it; empty where it has them all."""
    effect = finding.effect
    if effect is None or not effect.left_out:
        return ""
    listed = []
    for left in effect.left_out[:LISTED]:
        where = " ".join(f"{key}={word(value)}" for key, value in left.where.items())
        with_it, without = (f"{lost} of {ended}" for lost, ended in zip(left.diverged, left.ended, strict=True))
        why = f"diverged: {with_it} with it, {without} without" if any(left.diverged) else "too few results"
        listed.append(f"{where} ({why})")
    more = len(effect.left_out) - LISTED
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"{len(effect.left_out)} of {effect.possible} combinations of the other choices cannot be averaged for "
        f"{finding.subject}: {', '.join(listed)}{rest}. "
    )


def ranked(comparison: Comparison, finding: Finding) -> str:
    """A finding in words where means are meaningless, because seeds diverged or fall into two groups."""
    test = finding.test
    how = f"{test.name}, {p_phrase(finding.p_holm)} after correction, {numbered(test.n[0], 'seed')}"
    fell = _fell(comparison, finding)
    if finding.is_certain:
        which = "better" if test.direction > 0 else "worse"
        if test.outcome is Outcome.SPLIT and finding.difference:
            of = unit(comparison.metric)
            which += f" ({of.change(finding.difference.mean)}{of.of_difference} in the mean)"
        said = f"{finding.choice} matters: {finding.again} is {which}, {fell} ({how})."
    else:
        what = "has too few seeds" if finding.verdict == TOO_FEW else "is undecided"
        said = f"{finding.choice} {what}: {fell} ({how})"
        if test.least_p >= LEVEL:
            said += f"; this test cannot bring {numbered(test.n[0], 'seed')} below p = {test.least_p:.2g}"
        elif finding.p_holm is not None and finding.p_holm < LEVEL:
            said += "; its other seeds rank higher, but a variant that loses more seeds is not called better"
        said += "."
    if finding.effect and finding.effect.left_out and finding.difference and finding.difference.interval:
        of = unit(comparison.metric)
        said += (
            f" The other {finding.effect.contexts} of {finding.effect.possible} combinations alone: "
            f"{of.change(finding.difference.mean)}{of.of_difference} "
            f"(95% CI {of.interval(finding.difference.interval, changes=True)})."
        )
    return lacking(finding) + said


def _fell(comparison: Comparison, finding: Finding) -> str:
    """How many seeds either side lost, or has low."""
    test, (n, m) = finding.test, finding.test.n
    learn = FALL if finding.effect else LEARN
    if not finding.effect:
        variants = [
            v for v in (comparison.baseline, *comparison.variants) if v.is_baseline or v.label == finding.choice
        ]
        learn = LEARN if all(guesses(comparison, variant) for variant in variants) else FALL
    said = []
    stopped = comparison.count("stopped") > 0
    lost = ("are lost (diverged or stopped)", "is lost (diverged or stopped)") if stopped else ("diverged", "diverged")
    for (ours, theirs), (of_seeds, with_a_run) in ((test.lost, lost), (test.low, learn)):
        if not ours and not theirs:
            continue
        if finding.effect:
            said.append(f"{ours} of {n} seeds have a run that {with_a_run} with it, {theirs} of {m} without")
        else:
            baseline = f"{theirs}" if n == m else f"{theirs} of {m}"
            said.append(f"{ours} of its {numbered(n, 'seed')} {of_seeds}, of the baseline's {baseline}")
    return " and ".join(said)


def guesses(comparison: Comparison, variant: Variant) -> bool:
    """Whether a variant's low seeds, if it has any, are at chance."""
    return comparison.chance is not None and all(
        is_at_chance(variant.values[seed], comparison.chance) for seed in variant.low
    )


def fallen(comparison: Comparison, variants: Sequence[Variant]) -> str:
    """Which variants lost how many seeds, and of which how many never learn."""
    listed = []
    for variant in variants[:LISTED]:
        parts = []
        for status, ended in (("diverged", "diverged"), ("stopped", "were stopped")):
            if lost := variant.seeds(status):
                parts.append(f"{len(lost)} of {len(variant.entries)} {ended}")
        if variant.low:
            what = (LEARN if guesses(comparison, variant) else FALL)[0]
            parts.append(f"{len(variant.low)} of {len(variant.values)} {what}")
        listed.append(f"{variant.label} ({', '.join(parts)})")
    more = len(variants) - LISTED
    return ", ".join(listed) + (f" and {numbered(more, 'more variant')}" if more > 0 else "")
