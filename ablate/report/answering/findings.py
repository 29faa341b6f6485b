"""What a comparison found, and the sentences that tell it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.report.answering.phrases import change, changing, how_surely, moved, short
from ablate.report.numbers import numbered, p_phrase, unit
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import TOO_FEW, Outcome, Test
from ablate.statistics.paired import LEVEL, Difference
from ablate.statistics.reach import seeds_for_ranks
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
    variant: Variant | None = None

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
    found = [_of_effect(comparison, effect) for effect in main] or [
        Finding(
            variant.label,
            _only_change(comparison, variant) or variant.label,
            variant.difference,
            variant.test,
            variant.p_holm,
            variant.verdict,
            variant.p_equivalent,
            variant=variant,
        )
        for variant in comparison.variants
        if variant.test and all(variant.test.n)
    ]
    return sorted(found, key=lambda finding: -finding.size)


def _of_effect(comparison: Comparison, effect: Effect) -> Finding:
    (factor,), (value,), (was,) = effect.factors, effect.values, effect.baseline
    return Finding(
        short(comparison, factor),
        changing(comparison, factor, value, was),
        effect.difference,
        effect.test,
        effect.p_holm,
        effect.verdict,
        effect.p_equivalent,
        effect,
    )


def _only_change(comparison: Comparison, variant: Variant) -> str:
    """What is changed, where there is one choice and one change of it."""
    if len(comparison.factors) > 1 or len(comparison.variants) > 2:
        return ""
    ((factor, value),) = variant.assignment.items()
    return changing(comparison, factor, value, comparison.baseline.assignment[factor])


def told(comparison: Comparison, finding: Finding) -> str:
    """Which way the mean moved and by how much, with interval, test and seeds, and what it is averaged over."""
    assert finding.difference is not None
    how = how_surely(comparison, finding.difference, finding.test, finding.p_holm, moved=True)
    return f"{moved(comparison, finding.difference)} {how}{_over(finding)}"


def changed(comparison: Comparison, finding: Finding) -> str:
    """The same of what may be chance: a signed number, no direction."""
    assert finding.difference is not None
    how = how_surely(comparison, finding.difference, finding.test, finding.p_holm)
    return f"{change(comparison, finding.difference)} {how}{_over(finding)}"


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
    test, what = finding.test, finding.again
    pair = (finding.variant, comparison.baseline) if finding.variant else None
    how = f"{fell(comparison, test, pair)} {by_ranks(test, finding.p_holm)}"
    if finding.is_certain:
        which = "better" if test.direction > 0 else "worse"
        said = f"{finding.choice} matters: {what} is {which}{in_the_mean(comparison, finding.difference, test)}: {how}."
    else:
        if finding.verdict == TOO_FEW:
            said = f"{finding.choice} has too few seeds for a verdict. So far: {so_far(comparison, finding)}; {how}"
        else:
            said = f"{finding.choice} is undecided: {how}"
        if test.least_p < LEVEL and finding.p_holm is not None and finding.p_holm < LEVEL:
            said += "; its other seeds rank higher, but a variant that loses more seeds is not called better"
        said += "."
        if test.least_p >= LEVEL:
            seeds = numbered(test.n[0], "seed")
            said += f" With {seeds} this test's p is at least {test.least_p:.2g}{enough(comparison)}."
    if finding.effect and finding.effect.left_out and finding.difference and finding.difference.interval:
        of = unit(comparison.metric).to(finding.difference.interval)
        said += (
            f" The other {finding.effect.contexts} of {finding.effect.possible} combinations alone: "
            f"{of.change(finding.difference.mean)}{of.of_difference} "
            f"(95% CI {of.interval(finding.difference.interval, changes=True)})."
        )
    return lacking(finding) + said


def so_far(comparison: Comparison, finding: Finding) -> str:
    """Which way and how far, of what is not certain: a signed number where all seeds have one, else the ranks."""
    if finding.difference is not None and finding.test.outcome is Outcome.SPLIT:
        return f"{change(comparison, finding.difference)} in the mean"
    return f"ranks {('are equal', 'higher', 'lower')[finding.test.direction]}"


def enough(comparison: Comparison) -> str:
    """How many seeds can make ranks certain, with all tests counted; empty in rounds, whose looks have own levels."""
    if comparison.rounds:
        return ""
    tests = comparison.family
    counted = f" (all {tests} tests counted)" if tests > 1 else ""
    return f"; {seeds_for_ranks(max(1, tests))} seeds of each variant can be enough{counted}"


def by_ranks(test: Test, p_holm: float | None) -> str:
    return f"({test.name}, {p_phrase(p_holm)}, {numbered(test.n[0], 'seed')})"


def in_the_mean(comparison: Comparison, difference: Difference | None, test: Test) -> str:
    """By how much, where seeds split: a number, but of no seed; empty where some have none."""
    if difference is None or test.outcome is not Outcome.SPLIT:
        return ""
    of = unit(comparison.metric).to(difference.interval)
    return f" by {of.value(abs(difference.mean or 0.0))}{of.of_difference} in the mean"


def fell(
    comparison: Comparison, test: Test, pair: tuple[Variant, Variant] | None, theirs: str = "{} of the baseline's"
) -> str:
    """How many seeds either side lost, or has low: of two variants, or of a main effect's two sides.

    theirs  the words for the second variant's seeds; the braces are for how many
    """
    n, m = test.n
    learn = LEARN if pair and all(guesses(comparison, variant) for variant in pair) else FALL
    said = []
    stopped = comparison.count("stopped") > 0
    lost = ("are lost (diverged or stopped)", "is lost (diverged or stopped)") if stopped else ("diverged", "diverged")
    for (ours, others), (several, one) in ((test.lost, lost), (test.low, learn)):
        if not ours and not others:
            continue
        if pair is None:
            have = "has" if ours == 1 else "have"
            said.append(f"{ours} of {n} seeds {have} a run that {one} with it, {others} of {m} without")
        else:
            own = f"all {n} of its seeds" if ours == n > 1 else f"{ours} of its {numbered(n, 'seed')}"
            other = "none" if not others else f"all {m}" if others == m > 1 else f"{others} of {m}"
            said.append(f"{own} {one if ours == 1 else several}, {theirs.format(other)}")
    return " and ".join(said)


def guesses(comparison: Comparison, variant: Variant) -> bool:
    """Whether a variant's low seeds, if it has any, are at chance."""
    return comparison.chance is not None and guessed(comparison.chance, variant) == len(variant.low)


def learns_nothing(comparison: Comparison) -> bool:
    """Whether every value of every variant is that of guessing."""
    chance, values = comparison.chance, [value for v in comparison.variants for value in v.values.values()]
    return chance is not None and all(is_at_chance(value, chance) for value in values)


def guessed(chance: float, variant: Variant) -> int:
    """How many of a variant's low seeds are at chance."""
    return sum(is_at_chance(variant.values[seed], chance) for seed in variant.low)


def fallen(comparison: Comparison, variants: Sequence[Variant]) -> str:
    """Which variants lost how many seeds, and of which how many never learn."""
    listed = []
    for variant in variants[:LISTED]:
        parts = []
        for status, ended in (("diverged", ("diverged", "diverged")), ("stopped", ("were stopped", "was stopped"))):
            if lost := variant.seeds(status):
                parts.append(f"{len(lost)} of {len(variant.entries)} {ended[len(lost) == 1]}")
        if variant.low:
            guessing = comparison.chance is not None and guessed(comparison.chance, variant)
            what = (LEARN if guessing == len(variant.low) else FALL)[len(variant.low) == 1]
            some = f", {guessing} of them at chance" if 0 < guessing < len(variant.low) else ""
            parts.append(f"{len(variant.low)} of {len(variant.values)} {what}{some}")
        listed.append(f"{variant.label} ({', '.join(parts)})")
    more = len(variants) - LISTED
    return ", ".join(listed) + (f" and {numbered(more, 'more variant')}" if more > 0 else "")
