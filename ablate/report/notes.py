"""What you must know besides the answer: too few or lost seeds, runs made under different conditions."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ablate.comparison.comparison import Comparison
from ablate.comparison.confounds import code, hardware
from ablate.comparison.results import Result, at
from ablate.comparison.variants import Variant
from ablate.configuration.values import word
from ablate.report.answering.findings import fallen
from ablate.report.designs import limits
from ablate.report.in_rounds import rounds
from ablate.report.numbers import duration, numbered, p_phrase, unit
from ablate.runs.record import RESULTS
from ablate.statistics.judgement import Outcome
from ablate.statistics.paired import LEVEL, least_p_sign_flip, seeds_for_sign_flip
from ablate.statistics.splits import is_at_chance


def notes(comparison: Comparison) -> list[str]:
    """What you must know before you believe a number: too few seeds, lost runs, runs under different conditions."""
    said = [*comparison.besides, *_outdated(comparison), *_lost(comparison), *_unfinished(comparison)]
    said += [*_at_chance(comparison), *limits(comparison), *rounds(comparison), *_seeds(comparison)]
    results = [result for variant in comparison.variants for result in variant.results]
    for fact, counts in comparison.mixtures.items():
        some = list(counts.items())[:3]
        listed = "; ".join(
            f"{value if len(value) < 80 else value[:79] + '…'} ({numbered(n, 'run')})" for value, n in some
        )
        more = f"; {len(counts) - 3} more" if len(counts) > 3 else ""
        said.append(f"The runs do not share their {fact}: {listed}{more}.")
    if comparison.metric == "cost/seconds":
        said.append("Times compare where nothing else ran beside these runs: one at a time, on an idle machine.")
    dirty = sum(bool((r.record.provenance.get("git") or {}).get("dirty")) for r in results)
    if dirty:
        said.append(f"{numbered(dirty, 'run')} had uncommitted changes in the code; what they were is not on record.")
    together = [effect for effect in comparison.effects if len(effect.factors) == 2 and effect.is_certain]
    if together:
        effect = max(together, key=lambda effect: abs(effect.difference.mean or 0))
        a, b = (f"{key}={word(value)}" for key, value in zip(effect.factors, effect.values, strict=True))
        of = unit(comparison.metric)
        said.append(
            f"Choices act together: {b} changes the effect of {a} by {of.change(effect.difference.mean)}"
            f"{of.of_difference} ({'' if effect.test.has_interval else f'{effect.test.name}, '}"
            f"{p_phrase(effect.p_holm)} after correction). "
            "A main effect then averages effects that differ."
        )
    return said


def circumstances(comparison: Comparison) -> str:
    """How long all runs were trained, and on what: the most frequent machine and code; what differs is in the notes."""
    if comparison.told:
        return comparison.told.made
    results = [result for variant in comparison.variants for result in variant.results]
    seconds = [result.record.cost["seconds"] for result in results if "seconds" in result.record.cost]
    if not seconds:
        return ""
    if not all("cores" in result.record.provenance["hardware"] for result in results):  # from elsewhere
        return f"{numbered(len(seconds), 'run')}, {duration(sum(seconds))} of training in all"
    changes = Counter(str(_changes(result.config)) for result in results).most_common()
    seed = f"; a seed changes {changes[0][0]}" if len(changes) == 1 else ""
    facts = (Counter(fact(r.record.provenance) for r in results).most_common(1)[0][0] for fact in (_machine, code))
    trained = f"{numbered(len(seconds), 'run')}{_of_what(results)}, {duration(sum(seconds))} of training in all"
    return f"{trained}, on {', code '.join(facts)}{seed}"


def _of_what(results: Sequence[Result]) -> str:
    """` of resnet20 on digits, 20 epochs`: what all runs share of these."""
    said = ""
    for key, words in (("model", " of {}"), ("data", " on {}"), ("trainer.max_epochs", ", {} epochs")):
        values = {str(result.value(key)) for result in results} - {"None"}
        said += words.format(*values) if len(values) == 1 else ""
    return said


def _changes(config: dict[str, Any]) -> str:
    """What a seed changes, in words."""
    words = {"init": "the first weights", "order": "the order of the data", "split": "the split"}
    named = [words[name] for name in at(config, "vary") or ()]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _machine(provenance: dict[str, Any]) -> str:
    cores = provenance["hardware"]["cores"]
    torch = provenance["packages"]["torch"]
    return f"{hardware(provenance)} ({numbered(cores, 'core')}), torch {torch}"


def _outdated(comparison: Comparison) -> list[str]:
    counts: Counter[str] = Counter()
    for variant in comparison.variants:
        counts.update({changed: len(seeds) for changed, seeds in variant.outdated.items()})
    return [
        f"Outdated: {changed} since {numbered(n, 'run')} {'was' if n == 1 else 'were'} trained, so "
        f"{'its result does' if n == 1 else 'their results do'} not belong to what is here now. rerun=true trains "
        "again."
        for changed, n in counts.items()
    ]


def _lost(comparison: Comparison) -> list[str]:
    said = []
    if stopped := [variant for variant in comparison.variants if variant.seeds("stopped")]:
        listed = ", ".join(f"{v.label} ({len(v.seeds('stopped'))} of {len(v.entries)})" for v in stopped[:6])
        more = f" and {len(stopped) - 6} more variants" if len(stopped) > 6 else ""
        said.append(
            f"Runs that stop_hopeless ended early: {listed}{more}. They are in no mean; in ranks they count as lost, "
            "below every number, though some might have recovered."
        )
    if lost := [variant for variant in comparison.variants if variant.seeds("diverged")]:
        listed = ", ".join(f"{v.label} ({len(v.seeds('diverged'))} of {len(v.entries)})" for v in lost[:6])
        more = f" and {len(lost) - 6} more variants" if len(lost) > 6 else ""
        said.append(
            f"Runs that diverged: {listed}{more}. Means and intervals are of the finished runs only, which flatters "
            "such a variant. Ranks decide its verdict: a diverged run counts below every number, and a variant that "
            "lost more seeds is never called better."
        )
    if split := [variant for variant in comparison.variants if variant.low]:
        said.append(
            f"The runs fall into two groups; in the worse one: {fallen(comparison, split)}. Where only some of a "
            "variant's do, its mean is a value that no seed has and Student's interval is meaningless: an exact test "
            "of the ranks decides."
        )
    return said


def _at_chance(comparison: Comparison) -> list[str]:
    """Of variants where all seeds of one side are at chance and none of the other's: no seeds are split there."""
    chance = comparison.chance
    if chance is None or comparison.rounds is not None:  # in rounds such a variant has no interval
        return []

    def guesses(variant: Variant) -> bool:
        return bool(variant.values) and all(is_at_chance(value, chance) for value in variant.values.values())

    is_low = guesses(comparison.baseline)
    apart = [v for v in comparison.variants if v.test and v.test.outcome is Outcome.NORMAL and guesses(v) != is_low]
    if not apart:
        return []
    return [
        f"At chance in every seed: {'the baseline' if is_low else ', '.join(v.label for v in apart)}. The interval of"
        " such a difference tells of the other side's seeds alone: what a seed that learns would do, these cannot say."
    ]


def _unfinished(comparison: Comparison) -> list[str]:
    words = {
        "to do": "not run yet",
        "running": "running",
        "interrupted": "interrupted",
        "failed": "failed",
        "damaged": "damaged",
        "invalid": "refused as making no sense",
    }
    counts = [f"{comparison.count(status)} {word}" for status, word in words.items() if comparison.count(status)]
    total = sum(len(variant.entries) for variant in comparison.variants)
    done = comparison.count(*RESULTS)
    return [f"{done} of {numbered(total, 'run')} have a result; {', '.join(counts)}."] if counts else []


def _seeds(comparison: Comparison) -> list[str]:
    said = []
    compared = [variant for variant in comparison.variants if variant.difference]
    sizes = sorted({variant.difference.n for variant in compared if variant.difference})
    if not sizes:
        return []
    if sizes[0] == 1:
        said.append("A variant with one seed has no interval and no test: how far another seed would be is unknown.")
    by_t = sorted({len(v.paired_seeds) for v in compared if v.test and v.test.outcome is Outcome.NORMAL})
    few = [n for n in by_t if 1 < n < seeds_for_sign_flip()]
    if few:
        least = " and ".join(f"{numbered(n, 'seed')} below p = {least_p_sign_flip(n):.4g}" for n in few[-2:])
        said.append(
            f"The exact sign-flip test cannot bring {least}, whatever the data; it takes {seeds_for_sign_flip()} "
            f"seeds to reach {LEVEL}. The verdicts rest on the t-test, which assumes normally distributed differences."
        )
    if normal := [v.test.n[0] for v in compared if v.test and v.test.outcome is Outcome.NORMAL]:
        n = min(normal)
        said.append(
            f"A failure that strikes up to {1 - LEVEL ** (1 / n):.0%} of seeds can be missed by {numbered(n, 'seed')}: "
            "verdicts and intervals count only what these seeds show."
        )
    if not comparison.is_paired:
        said.append(
            "Seeds are not paired here: each variant's mean is compared with the baseline's by Welch's t-test, which "
            "assumes normally distributed results. Runs of one seed that share initialisation and batches could be "
            "paired, which is sharper: --paired."
        )
    unequal = [
        v
        for v in compared
        if comparison.is_paired
        and (set(v.values) != set(v.paired_seeds) or set(comparison.baseline.values) - set(v.values))
    ]
    if unequal:
        said.append(f"Unequal seeds: {_named(unequal)} paired with the baseline on the seeds that both have.")
    return said


def _named(variants: Sequence[Variant]) -> str:
    more = f" and {len(variants) - 4} more are" if len(variants) > 4 else " are" if len(variants) > 1 else " is"
    return ", ".join(variant.label for variant in variants[:4]) + more
