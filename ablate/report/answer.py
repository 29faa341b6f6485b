"""The answer in a few sentences, made from the numbers."""

from collections import Counter
from collections.abc import Sequence

from ablate.comparison.comparison import Comparison
from ablate.report.findings import Finding, fallen, findings, lacking, ranked, told
from ablate.report.numbers import numbered, p_phrase, unit
from ablate.runs.record import RESULTS
from ablate.statistics.judgement import EQUIVALENT, TOO_FEW
from ablate.statistics.rounds import GOES_ON

RANKED = 3  # findings by ranks that are told one by one


def answer(comparison: Comparison) -> list[str]:
    """The answer: which choice matters most, by how much and how surely, or that these runs can't tell."""
    baseline, metric = comparison.baseline, comparison.metric
    if not any(variant.values for variant in comparison.variants):
        ended = comparison.count("failed", *RESULTS)
        otherwise = [f"{numbered(ended, 'run')} ended otherwise."] if ended else []
        return [f"No run has finished with a {metric} yet.", *otherwise]
    if len(comparison.variants) == 1:
        said = f"{unit(comparison.metric).value(baseline.estimate.mean)}{unit(comparison.metric).of_value}"
        return [
            f"There is one variant, so nothing is compared: its {metric} is {said} in the mean over "
            f"{numbered(baseline.estimate.n, 'seed')}.",
            "A second variant with the same seeds would make a comparison.",
        ]
    if not baseline.values:
        made_by = baseline.command(baseline.seeds("to do", "failed", "interrupted") or None)
        how = f"It is made by: {made_by}" if made_by else "--baseline KEY=VALUE chooses another."
        return ["Nothing can be compared yet: the baseline has no finished run.", how]
    found = findings(comparison)
    if not found and comparison.rounds:
        return [f"The first look is at {comparison.rounds.looks[0]} seeds: before it nothing is compared."]
    if not found:
        return ["No variant shares a finished seed with the baseline, so nothing is compared yet."]
    return [*_answer(comparison, found), *_fallen(comparison)]


def _answer(comparison: Comparison, found: Sequence[Finding]) -> list[str]:
    """By means where these are meaningful, else by ranks; certain findings first."""
    plain = [finding for finding in found if finding.has_interval]
    # The surest first: of as many seeds, who lost most.
    others = sorted(
        (finding for finding in found if not finding.has_interval),
        key=lambda finding: (not finding.is_certain, finding.p_holm if finding.p_holm is not None else 1.0),
    )
    by_ranks = [ranked(comparison, finding) for finding in others[:RANKED]]
    if len(others) > RANKED:
        by_ranks.append(f"{numbered(len(others) - RANKED, 'more')} lost seeds too: see the table.")
    certain = [finding for finding in plain if finding.is_certain]
    if certain:
        return [*_certain(comparison, certain, plain), *by_ranks]
    if not plain:
        return by_ranks
    if others and others[0].is_certain:
        return [*by_ranks, _cannot_tell(comparison, plain[0])]
    return [*_uncertain(comparison, plain), *by_ranks]


def _fallen(comparison: Comparison) -> list[str]:
    """Of crossed choices, whose main effects are averages, the variants whose seeds say most."""
    fell = [variant for variant in comparison.variants if variant.lost or variant.low]
    if not comparison.effects or not fell:
        return []
    return [f"Seeds diverged or fall into two groups: {fallen(comparison, fell)}. Means say nothing about those."]


def _certain(comparison: Comparison, certain: Sequence[Finding], found: Sequence[Finding]) -> list[str]:
    first = certain[0]
    answer = [
        f"{lacking(first)}{first.choice} matters{'' if len(found) == 1 else ' most'}: {first.again} changes "
        f"{comparison.metric} by {told(comparison, first)}."
    ]
    # The others, each choice by its largest finding.
    others: dict[str, Finding] = {}
    for finding in (*certain[1:], *found):
        if finding.choice != first.choice:
            others.setdefault(finding.choice, finding)
    sure = [other for other in others.values() if other.is_certain]
    unsure = [other for other in others.values() if not other.is_certain]
    if sure:
        rest = f"; so {'does' if len(sure) == 2 else 'do'} {numbered(len(sure) - 1, 'other')}" if len(sure) > 1 else ""
        answer.append(
            f"{lacking(sure[0])}{sure[0].choice} matters too: {sure[0].again} changes it by "
            f"{told(comparison, sure[0])}{rest}."
        )
    elif unsure:
        answer.append(_cannot_tell(comparison, unsure[0]))
    return answer


def _cannot_tell(comparison: Comparison, finding: Finding) -> str:
    """One that is neither better nor worse: equivalent, undecided, or of too few seeds."""
    before, verdict = lacking(finding), finding.verdict
    of = unit(comparison.metric)
    if verdict == EQUIVALENT and comparison.margin is not None and finding.difference:
        return (
            f"{before}{finding.choice} makes no difference that matters: {finding.again} changes {comparison.metric} "
            f"by {told(comparison, finding)}, and surely by less than {of.value(comparison.margin)}{of.of_difference} "
            f"({_how_equivalent(finding)})."
        )
    what = {TOO_FEW: "has too few seeds", GOES_ON: "is not decided yet"}.get(verdict, "is undecided")
    return (
        f"{before}{finding.choice} {what}: {finding.again} changes {comparison.metric} by {told(comparison, finding)}"
        f"{possible(comparison, finding)}."
    )


def _how_equivalent(finding: Finding) -> str:
    if finding.p_equivalent is None:
        return "the interval at the level of all variants and looks lies within"
    return f"two one-sided tests, {p_phrase(finding.p_equivalent)} after correction"


def possible(comparison: Comparison, finding: Finding) -> str:
    """What of an undecided finding is left: the range in which the true change lies, at the level of all tests."""
    difference, of = finding.difference, unit(comparison.metric)
    left = difference.interval_at(comparison.level) if difference else None
    if left is None:
        return ""
    if comparison.family == 1:
        return "; all of that interval is still possible"
    of_all = f"with all {comparison.family} tests counted"
    return f"; {of_all}, anything from {of.interval(left, changes=True)}{of.of_difference} is still possible"


def _uncertain(comparison: Comparison, found: Sequence[Finding]) -> list[str]:
    """Nothing is better or worse: the largest difference, and how many of all are what."""
    first = found[0]
    of = unit(comparison.metric)
    if all(finding.verdict == EQUIVALENT for finding in found) and comparison.margin is not None:
        which = "The variant is" if len(found) == 1 else f"All {len(found)} are"
        return [
            f"{which} equivalent to the baseline within {of.value(comparison.margin)}{of.of_difference}: the largest "
            f"difference is that {first.subject} changes {comparison.metric} by {told(comparison, first)}."
        ]
    answer = [
        f"{lacking(first)}These runs can't tell whether any choice matters: the largest difference is that "
        f"{first.subject} changes {comparison.metric} by {told(comparison, first)}{possible(comparison, first)}."
    ]
    assert first.difference is not None
    if first.difference.n < 2:
        answer.append("One seed has no spread to judge by: with three, an interval can be told.")
    elif comparison.margin is not None:
        counts = Counter(finding.verdict for finding in found).most_common()
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        answer.append(f"With a margin of {of.value(comparison.margin)}{of.of_difference}: {listed}.")
    return answer
