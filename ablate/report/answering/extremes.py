"""Variants that are not crossed: the best and the worst by name, and all that diverged or never learn."""

from collections.abc import Sequence

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.report.answering.findings import by_ranks, fell, in_the_mean
from ablate.report.answering.phrases import NOTHING, at, capital, change, how_surely, moved
from ablate.report.numbers import numbered, unit
from ablate.statistics.judgement import EQUIVALENT
from ablate.statistics.paired import LEVEL, Difference

LISTED = 6


def named(comparison: Comparison, variant: Variant) -> str:
    """By its value where one choice varies, else by what it differs in."""
    if len(comparison.factors) == 1:
        ((factor, value),) = variant.assignment.items()
        return at(comparison, {factor: value}) if word(value) in NOTHING else word(value)
    return "the baseline" if variant.is_baseline else variant.label


def order(comparison: Comparison) -> list[Variant]:
    """The best first, by mean; those of which some seeds are lost last, the most lost at the end."""
    return sorted(
        (variant for variant in comparison.variants if variant.values or variant.lost),
        key=lambda variant: (len(variant.lost), -comparison.sign * (variant.estimate.mean or 0.0)),
    )


def tied(comparison: Comparison, variant: Variant) -> str:
    """`, tied with group`: who has the same mean, as it is written in full; empty where nobody has."""
    of, mean = unit(comparison.metric), variant.estimate.mean
    same = [other for other in order(comparison) if other is not variant and not other.lost and other.values]
    names = [named(comparison, other) for other in same if of.value(other.estimate.mean) == of.value(mean)]
    return f", tied with {' and '.join(names)}" if names and not variant.lost else ""


def is_sure(variant: Variant) -> bool:
    certain = variant.p_holm is not None and variant.p_holm < LEVEL
    return variant.verdict in ("better", "worse") or (variant.verdict in ("diverged", "lost") and certain)


def best_and_worst(comparison: Comparison) -> list[str]:
    """Sentences that name the best and the worst of three and more, and say what the others are."""
    ordered = order(comparison)
    best, worst = ordered[0], ordered[-1]
    said = [_best(comparison, best, ordered), _worst(comparison, worst)]
    rest = [variant for variant in ordered if variant not in (best, worst) and not variant.is_baseline]
    return said + _rest(comparison, rest)


def _best(comparison: Comparison, best: Variant, ordered: Sequence[Variant]) -> str:
    mean = f"{unit(comparison.metric).to(best.estimate.interval).value(best.estimate.mean)}"
    of, others = unit(comparison.metric).of_value, [variant for variant in ordered if not variant.is_baseline]
    level = f"{comparison.metric} {mean}{of}{tied(comparison, best)}"
    if best.is_baseline:
        worse = [variant for variant in others if is_sure(variant)]
        every = f"all {len(others)} others are worse" if len(others) == len(worse) else _counted(worse, others)
        name = named(comparison, best)
        return f"{capital(name)}{'' if name == 'the baseline' else ', the baseline,'} is best ({level}): {every}."
    if best.verdict == "better" and best.test is not None:
        against, name = named(comparison, comparison.baseline), capital(named(comparison, best))
        if best.test.has_interval and best.difference is not None:
            how = how_surely(comparison, best.difference, best.test, best.p_holm, moved=True)
            return f"{name} is best ({level}): against {against} it {moved(comparison, best.difference)} {how}."
        ranks = f"{fell(comparison, best.test, (best, comparison.baseline))} {by_ranks(best.test, best.p_holm)}"
        return f"{name} is best ({level}), better than {against}, {ranks}."
    return f"{capital(named(comparison, best))} has the best mean ({level}), but {_open(comparison, best)}."


def _worst(comparison: Comparison, worst: Variant) -> str:
    name = capital(named(comparison, worst))
    if worst.is_baseline:
        return (
            f"{name}{'' if name == 'The baseline' else ', the baseline,'} has the worst mean{tied(comparison, worst)}."
        )
    assert worst.test is not None
    if worst.lost or not worst.test.has_interval or worst.difference is None:
        ranks = f"{fell(comparison, worst.test, (worst, comparison.baseline))} {by_ranks(worst.test, worst.p_holm)}"
        mean = in_the_mean(comparison, worst.difference, worst.test)
        last = f"is worst{mean}" if is_sure(worst) else f"comes last{mean}, which may be chance"
        return f"{name} {last}: {ranks}."
    if worst.verdict == "worse":
        how = how_surely(comparison, worst.difference, worst.test, worst.p_holm, moved=True)
        return f"{name} is worst: it {moved(comparison, worst.difference)} {how}."
    return f"{name} has the worst mean{tied(comparison, worst)}, but {_open(comparison, worst)}."


def _open(comparison: Comparison, variant: Variant) -> str:
    """What cannot be told of a variant and the baseline, and what is still possible."""
    against = named(comparison, comparison.baseline)
    if variant.difference is None or variant.test is None:
        return f"it shares no seed with {against} yet"
    how = how_surely(comparison, variant.difference, variant.test, variant.p_holm)
    what = f"{change(comparison, variant.difference)} {how}"
    if variant.verdict == EQUIVALENT:
        return f"that is equivalent to {against}: {what}"
    seeds = numbered(variant.difference.n, "seed")
    return f"{seeds} cannot tell it from {against}: {what}{possible(comparison, variant.difference)}"


def possible(comparison: Comparison, difference: Difference | None) -> str:
    """What of an undecided difference is left: the range in which the true one lies, at the level of all tests."""
    left = difference.interval_at(comparison.level) if difference else None
    if left is None:
        return ""
    if comparison.family == 1:
        return "; all of that interval is still possible"
    of = unit(comparison.metric).to(left)
    return (
        f"; with all {comparison.family} tests counted, anything from {of.interval(left, changes=True)}"
        f"{of.of_difference} is still possible"
    )


def _rest(comparison: Comparison, rest: Sequence[Variant]) -> list[str]:
    """The others by their verdicts, each with its difference or with what became of its seeds."""
    by_verdict: dict[str, list[str]] = {}
    for variant in rest:
        if variant.test and not variant.test.has_interval:
            what = fell(comparison, variant.test, (variant, comparison.baseline))
        else:
            what = change(comparison, variant.difference) if variant.difference else "no pair of seeds"
        by_verdict.setdefault(variant.verdict, []).append(f"{named(comparison, variant)} ({what})")
    said = []
    for verdict, listed in by_verdict.items():
        more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
        said.append(f"{verdict.capitalize()}: {', '.join(listed[:LISTED])}{more}.")
    return [" ".join(said)] if said else []


def _counted(worse: Sequence[Variant], others: Sequence[Variant]) -> str:
    if not worse:
        return f"none of the {len(others)} others is certainly worse"
    return f"{len(worse)} of the {len(others)} others {'is' if len(worse) == 1 else 'are'} certainly worse"
