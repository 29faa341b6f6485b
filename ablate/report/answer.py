"""The answer in a few sentences, made from the numbers."""

from collections import Counter
from collections.abc import Sequence

from ablate.comparison.comparison import Comparison
from ablate.comparison.simple import strongest_interaction
from ablate.report.answering.crossed import depending
from ablate.report.answering.extremes import best_and_worst, is_sure, named, order, possible, tied
from ablate.report.answering.findings import Finding, changed, fallen, findings, lacking, learns_nothing, ranked, told
from ablate.report.answering.phrases import capital
from ablate.report.designs import doubtful
from ablate.report.numbers import numbered, p_phrase, unit
from ablate.runs.record import LOST, RESULTS
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
    if learns_nothing(comparison):
        return _nothing_learned(comparison)
    others = [variant for variant in comparison.variants if not variant.is_baseline]
    by_rows = len(others) > 1 and all(variant.test for variant in others) and any(map(is_sure, others))
    if comparison.effects:
        crossed = _of_crossed(comparison, found, by_rows)
        return [*crossed, *doubtful(comparison), *_fallen(comparison), *_best(comparison)]
    return best_and_worst(comparison) if by_rows else _of_findings(comparison, found)


def _nothing_learned(comparison: Comparison) -> list[str]:
    runs, of = sum(len(variant.values) for variant in comparison.variants), unit(comparison.metric)
    which = "The only run" if runs == 1 else f"All {runs} runs"
    ended = numbered(lost, "other run") if (lost := comparison.count(*LOST)) else ""
    return [
        f"Nothing was learned: the {comparison.metric} of {'each run' if runs > 1 else 'the run'} is that of guessing,"
        f" {of.value(comparison.chance)}{of.of_value}.",
        f"{which} trained too briefly, or none of these designs trains with this recipe"
        f"{f'; {ended} diverged or stopped' if ended else ''}. What differs between them says nothing of the choices.",
    ]


def _of_crossed(comparison: Comparison, found: Sequence[Finding], by_rows: bool) -> list[str]:
    """Two simple effects where these differ as much as a main effect, else the main effects.

    by_rows  whether a variant's row is certain: it is told where no effect is, which is averaged over less alike cells
    """
    interaction = strongest_interaction(comparison)
    if depends := depending(comparison, interaction) if interaction else []:
        return depends
    if by_rows and not any(finding.is_certain for finding in found):
        return best_and_worst(comparison)
    return _of_findings(comparison, found)


def _of_findings(comparison: Comparison, found: Sequence[Finding]) -> list[str]:
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
    if not fell:
        return []
    is_mixed = any(variant.is_split or 0 < len(variant.lost) < len(variant.entries) for variant in fell)
    mixed = " Where only some do, the mean is of unlike runs: look at the seeds." if is_mixed else ""
    return [f"Seeds that fail: {fallen(comparison, fell)}.{mixed}"]


def _best(comparison: Comparison) -> list[str]:
    """Of crossed choices the variant with the best mean."""
    best = next((variant for variant in order(comparison) if variant.values and not variant.lost), None)
    if best is None or len(comparison.variants) < 3:
        return []
    of = unit(comparison.metric).to(best.estimate.interval)
    sure = "" if best.is_baseline else f" (against the baseline: {best.verdict})"
    return [
        f"Best mean of all {len(comparison.variants)} variants: {named(comparison, best)}, {comparison.metric} "
        f"{of.value(best.estimate.mean)}{of.of_value}{tied(comparison, best)}{sure}."
    ]


def _certain(comparison: Comparison, certain: Sequence[Finding], found: Sequence[Finding]) -> list[str]:
    first = certain[0]
    if len(found) == 1 and first.subject != first.choice:
        return [f"{capital(first.subject)} {told(comparison, first)}: {first.verdict}."]
    answer = [
        f"{lacking(first)}{first.choice} matters{'' if len(found) == 1 else ' most'}: {first.again} "
        f"{told(comparison, first)}."
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
            f"{lacking(sure[0])}{sure[0].choice} matters too: {sure[0].again} {told(comparison, sure[0])}{rest}."
        )
    elif unsure:
        answer.append(_cannot_tell(comparison, unsure[0]))
    return answer


def _cannot_tell(comparison: Comparison, finding: Finding) -> str:
    """One that is neither better nor worse: equivalent, undecided, or of too few seeds."""
    before, verdict, of = lacking(finding), finding.verdict, unit(comparison.metric)
    if verdict == EQUIVALENT and comparison.margin is not None and finding.difference:
        return (
            f"{before}{finding.choice} makes no difference that matters: {finding.again} changes {comparison.metric} "
            f"by {changed(comparison, finding)}, and surely by less than {of.value(comparison.margin)}"
            f"{of.of_difference} ({_how_equivalent(finding)})."
        )
    what = {TOO_FEW: "has too few seeds", GOES_ON: "is not decided yet"}.get(verdict, "is undecided")
    return (
        f"{before}{finding.choice} {what}: {finding.again} changes {comparison.metric} by "
        f"{changed(comparison, finding)}{possible(comparison, finding.difference)}."
    )


def _how_equivalent(finding: Finding) -> str:
    if finding.p_equivalent is None:
        return "the interval at the level of all variants and looks lies within"
    return f"two one-sided tests, {p_phrase(finding.p_equivalent)} after correction"


def _uncertain(comparison: Comparison, found: Sequence[Finding]) -> list[str]:
    """Nothing is better or worse: the largest difference, and how many of all are what."""
    first = found[0]
    of = unit(comparison.metric)
    if all(finding.verdict == EQUIVALENT for finding in found) and comparison.margin is not None:
        which = "The variant is" if len(found) == 1 else f"All {len(found)} are"
        return [
            f"{which} equivalent to the baseline within {of.value(comparison.margin)}{of.of_difference}: the largest "
            f"difference is that {first.subject} changes {comparison.metric} by {changed(comparison, first)}."
        ]
    answer = [f"{lacking(first)}{_open(comparison, found)}{possible(comparison, first.difference)}."]
    assert first.difference is not None
    if first.difference.n < 2:
        answer.append("One seed has no spread to judge by: with three, an interval can be told.")
    elif comparison.margin is not None:
        counts = Counter(finding.verdict for finding in found).most_common()
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts)
        answer.append(f"With a margin of {of.value(comparison.margin)}{of.of_difference}: {listed}.")
    if not comparison.effects and len(comparison.variants) > 2:
        ordered = [variant for variant in order(comparison) if variant.values]
        best, worst = (
            f"{named(comparison, variant)} ({of.value(variant.estimate.mean)}{of.of_value}{tied(comparison, variant)})"
            for variant in (ordered[0], ordered[-1])
        )
        answer.append(f"Best mean: {best}, worst: {worst}.")
    return answer


def _open(comparison: Comparison, found: Sequence[Finding]) -> str:
    """That nothing is certain, and the largest difference."""
    first = found[0]
    assert first.difference is not None
    if len(found) == 1 and first.difference.n > 1:
        seeds = numbered(first.difference.n, "seed")
        return f"{capital(first.subject)} makes no difference that {seeds} can see: {changed(comparison, first)}"
    which = "whether any choice matters" if comparison.effects else f"any of {len(found)} variants from the baseline"
    if len(found) == 1:
        which = f"whether {first.subject} matters"
    return (
        f"These runs can't tell {which}: the largest difference is that {first.subject} changes {comparison.metric} "
        f"by {changed(comparison, first)}"
    )
