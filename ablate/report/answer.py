"""The answer in two sentences, and what a reader has to know besides, made from the numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ablate.report.numbers import Unit, duration, numbered, p_phrase, unit
from ablate.study.comparison import Comparison
from ablate.study.confounds import code, hardware, mixtures
from ablate.study.effects import Effect
from ablate.study.statistics import LEVEL, Difference, least_p_sign_flip, seeds_for_sign_flip
from ablate.study.variants import Variant, text


@dataclass(frozen=True)
class Finding:
    """One thing that can matter: a choice's main effect, or a variant where choices are not crossed."""

    choice: str
    subject: str
    difference: Difference
    p_holm: float | None
    over: str
    family: int

    @property
    def size(self) -> float:
        return abs(self.difference.mean or 0.0)

    @property
    def is_certain(self) -> bool:
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def again(self) -> str:
        """The subject where the choice has just been named."""
        return "it" if self.subject == self.choice else self.subject


def answer(comparison: Comparison) -> list[str]:
    """Two sentences: which choice matters most, by how much and how surely; or that these runs can't tell."""
    baseline, metric = comparison.baseline, comparison.metric
    if not any(variant.values for variant in comparison.variants):
        ended = comparison.count("diverged", "failed", "finished")
        return [f"No run has finished with a {metric} yet.", f"{numbered(ended, 'run')} ended otherwise."]
    if len(comparison.variants) == 1:
        said = f"{_unit(comparison).value(baseline.estimate.mean)}{_unit(comparison).of_value}"
        return [
            f"There is one variant, so nothing is compared: its {metric} is {said} in the mean over "
            f"{numbered(baseline.estimate.n, 'seed')}.",
            "A second variant with the same seeds would make a comparison.",
        ]
    if not baseline.values:
        return [
            "Nothing can be compared yet: the baseline has no finished run.",
            f"It is made by: {baseline.command(baseline.seeds('to do', 'failed', 'interrupted') or None)}",
        ]
    found = findings(comparison)
    if not found:
        return ["No variant shares a finished seed with the baseline, so nothing is compared yet."]
    certain = [finding for finding in found if finding.is_certain]
    return _certain(comparison, certain, found) if certain else _uncertain(comparison, found)


def findings(comparison: Comparison) -> list[Finding]:
    """Main effects where choices are crossed, else the variants' differences; the largest first."""
    main = [effect for effect in comparison.effects if len(effect.factors) == 1]
    found = [_of_effect(effect, len(main)) for effect in main] or [
        Finding(
            choice=variant.label,
            subject=variant.label,
            difference=variant.difference,
            p_holm=variant.p_holm,
            over="",
            family=round(LEVEL / comparison.level),
        )
        for variant in comparison.variants
        if variant.difference
    ]
    return sorted(found, key=lambda finding: -finding.size)


def _of_effect(effect: Effect, family: int) -> Finding:
    (factor,), (value,), (was,) = effect.factors, effect.values, effect.baseline
    return Finding(
        choice=factor,
        subject=f"{factor}={text(value)} instead of {text(was)}",
        difference=effect.difference,
        p_holm=effect.p_holm,
        over=f", averaged over {numbered(effect.contexts, 'combination')} of the other choices",
        family=family,
    )


def _certain(comparison: Comparison, certain: Sequence[Finding], found: Sequence[Finding]) -> list[str]:
    first = certain[0]
    answer = [
        f"{first.choice} matters{'' if len(found) == 1 else ' most'}: {first.again} changes {comparison.metric} "
        f"by {_told(comparison, first)}{first.over}."
    ]
    # The others, each choice by its largest finding.
    others: dict[str, Finding] = {}
    for finding in (*certain[1:], *found):
        if finding.choice != first.choice:
            others.setdefault(finding.choice, finding)
    sure = [other for other in others.values() if other.is_certain]
    unsure = [other for other in others.values() if not other.is_certain]
    if sure:
        rest = f"; so do {numbered(len(sure) - 1, 'other')}" if len(sure) > 1 else ""
        answer.append(
            f"{sure[0].choice} matters too: {sure[0].again} changes it by {_told(comparison, sure[0])}{rest}."
        )
    elif unsure:
        answer.append(_cannot_tell(comparison, unsure[0]))
    return answer


def _cannot_tell(comparison: Comparison, finding: Finding) -> str:
    said = f"For {finding.choice} these runs can't tell: {finding.again} changes it by {_told(comparison, finding)}"
    least = finding.difference.detectable(LEVEL / finding.family)
    if least is None:
        return f"{said}."
    of = _unit(comparison)
    return f"{said}, and only a difference of {of.value(least)}{of.of_difference} or more would be likely to show."


def _uncertain(comparison: Comparison, found: Sequence[Finding]) -> list[str]:
    first = found[0]
    answer = [
        f"These runs can't tell whether any choice matters: the largest difference is that "
        f"{first.subject} changes {comparison.metric} by {_told(comparison, first)}."
    ]
    needed = first.difference.seeds_needed(LEVEL / first.family)
    if first.difference.n < 2:
        answer.append(
            "One seed has no spread to judge by: with three, an interval can be told, and how many more it takes."
        )
    elif needed is None:
        answer.append("Its seeds agree so well, or it is so small, that no number of seeds can be named.")
    else:
        answer.append(
            f"If it is as large as it looks, about {numbered(max(needed, first.difference.n + 1), 'seed')} "
            "would show it with 80% probability."
        )
    return answer


def _told(comparison: Comparison, finding: Finding) -> str:
    difference, of = finding.difference, _unit(comparison)
    said = f"{of.change(difference.mean)}{of.of_difference}"
    if difference.interval is None:
        why = "one seed: no interval" if difference.n == 1 else "every seed gives the same: no interval"
        return f"{said} ({why})"
    interval = of.interval(difference.interval, changes=True)
    return f"{said} (95% CI {interval}, {p_phrase(finding.p_holm)} after correction, {numbered(difference.n, 'seed')})"


def notes(comparison: Comparison) -> list[str]:
    """What a reader has to know before believing a number: seeds that are too few, lost runs, mixed circumstances."""
    said = [*_outdated(comparison), *_lost(comparison), *_unfinished(comparison), *_seeds(comparison)]
    results = [result for variant in comparison.variants for result in variant.results]
    for fact, counts in mixtures(results).items():
        some = list(counts.items())[:3]
        listed = "; ".join(
            f"{value if len(value) < 80 else value[:79] + '…'} ({numbered(n, 'run')})" for value, n in some
        )
        more = f"; {len(counts) - 3} more" if len(counts) > 3 else ""
        said.append(f"The runs do not share their {fact}: {listed}{more}.")
    if comparison.metric == "cost/seconds":
        said.append("Times compare where nothing else ran beside these runs: one at a time, on an idle machine.")
    dirty = sum(bool((r.record["provenance"].get("git") or {}).get("dirty")) for r in results)
    if dirty:
        said.append(f"{numbered(dirty, 'run')} had uncommitted changes in the code: which, nobody knows.")
    together = [effect for effect in comparison.effects if len(effect.factors) == 2 and (effect.p_holm or 1) < LEVEL]
    if together:
        effect = max(together, key=lambda effect: abs(effect.difference.mean or 0))
        a, b = (f"{key}={text(value)}" for key, value in zip(effect.factors, effect.values, strict=True))
        of = _unit(comparison)
        said.append(
            f"Choices act together: with {b}, what {a} does is another by {of.change(effect.difference.mean)}"
            f"{of.of_difference} ({p_phrase(effect.p_holm)} after correction). "
            "A main effect is then an average of unlike effects."
        )
    return said


def circumstances(comparison: Comparison) -> str:
    """How long all runs were trained, and on what: the most frequent machine and code; what differs is in the notes."""
    results = [result for variant in comparison.variants for result in variant.results]
    seconds = [result.record["cost"]["seconds"] for result in results if "seconds" in result.record["cost"]]
    if not seconds:
        return ""
    facts = (Counter(fact(r.record["provenance"]) for r in results).most_common(1)[0][0] for fact in (_machine, code))
    return f"{numbered(len(seconds), 'run')}, {duration(sum(seconds))} of training in all, on {', code '.join(facts)}"


def _machine(provenance: dict[str, Any]) -> str:
    cores = provenance["hardware"]["cores"]
    torch = provenance["packages"]["torch"]
    return f"{hardware(provenance)} ({numbered(cores, 'core')}), torch {torch}"


def _outdated(comparison: Comparison) -> list[str]:
    counts: Counter[str] = Counter()
    for variant in comparison.variants:
        counts.update({changed: len(seeds) for changed, seeds in variant.outdated.items()})
    return [
        f"Outdated: {changed} since {numbered(n, 'run')} {'was' if n == 1 else 'were'} trained, so what is reported of "
        f"{'it' if n == 1 else 'them'} is not of what is here now; rerun=true trains again."
        for changed, n in counts.items()
    ]


def _lost(comparison: Comparison) -> list[str]:
    lost = [variant for variant in comparison.variants if variant.seeds("diverged")]
    if not lost:
        return []
    listed = ", ".join(f"{v.label} ({len(v.seeds('diverged'))} of {len(v.entries)})" for v in lost[:6])
    more = f" and {len(lost) - 6} more variants" if len(lost) > 6 else ""
    return [
        f"Runs that diverged: {listed}{more}. Means, intervals and tests are of the finished runs, so they "
        "flatter such a variant; the probability of doing better counts a diverged run as lost."
    ]


def _unfinished(comparison: Comparison) -> list[str]:
    words = {
        "to do": "not run yet",
        "running": "running",
        "interrupted": "interrupted",
        "failed": "failed",
        "invalid": "refused as making no sense",
    }
    counts = [f"{comparison.count(status)} {word}" for status, word in words.items() if comparison.count(status)]
    total = sum(len(variant.entries) for variant in comparison.variants)
    done = comparison.count("finished", "diverged")
    return [f"{done} of {numbered(total, 'run')} have a result; {', '.join(counts)}."] if counts else []


def _seeds(comparison: Comparison) -> list[str]:
    said = []
    compared = [variant for variant in comparison.variants if variant.difference]
    sizes = sorted({len(variant.paired_seeds) for variant in compared})
    if not sizes:
        return []
    if sizes[0] == 1:
        said.append("A variant with one seed has no interval and no test: nobody knows how far another seed would be.")
    few = [n for n in sizes if 1 < n < seeds_for_sign_flip()]
    if few:
        least = " and ".join(f"{numbered(n, 'seed')} below p = {least_p_sign_flip(n):.4g}" for n in few[-2:])
        said.append(
            f"The exact sign-flip test cannot bring {least}, whatever the data; it takes {seeds_for_sign_flip()} "
            f"seeds to reach {LEVEL}. The verdicts rest on the t-test, for which differences are normally distributed."
        )
    unequal = [
        v for v in compared if set(v.values) != set(v.paired_seeds) or set(comparison.baseline.values) - set(v.values)
    ]
    if unequal:
        said.append(f"Unequal seeds: {_named(unequal)} paired with the baseline on the seeds that both have.")
    return said


def _named(variants: Sequence[Variant]) -> str:
    more = f" and {len(variants) - 4} more are" if len(variants) > 4 else " are" if len(variants) > 1 else " is"
    return ", ".join(variant.label for variant in variants[:4]) + more


def _unit(comparison: Comparison) -> Unit:
    return unit(comparison.metric)
