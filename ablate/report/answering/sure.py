"""How sure an answer is, in a few lines: seeds, correction, machines, commits, and what to be careful about."""

from collections.abc import Iterator, Sequence

from ablate.comparison.comparison import Comparison
from ablate.comparison.confounds import FACTS
from ablate.comparison.variants import Variant
from ablate.report.numbers import numbered
from ablate.runs.record import RESULTS
from ablate.statistics.paired import seeds_for_sign_flip

FINE, CAREFUL = "✓", "⚠"
ONE = {"code": "commit", "hardware": "machine", "library versions": "set of libraries", "data": "data set"}
SEVERAL = {"code": "commits", "hardware": "machines", "library versions": "library versions", "data": "data sets"}
SEVERAL["network library"] = "versions of a network library"


def how_sure(comparison: Comparison) -> list[tuple[str, str]]:
    """A sign and a sentence each."""
    return [*_seeds(comparison), *_tests(comparison), *_circumstances(comparison), *_careful(comparison)]


def _seeds(comparison: Comparison) -> Iterator[tuple[str, str]]:
    sizes = sorted({variant.test.n[0] for variant in comparison.variants if variant.test and variant.test.n[0]})
    if not sizes:
        return
    seeds = "paired seeds" if comparison.is_paired else "seeds, not paired"
    if sizes[-1] == 1:
        yield CAREFUL, "one seed: how far another would be is unknown"
    elif sizes[0] == sizes[-1]:
        few = sizes[0] < seeds_for_sign_flip()
        yield CAREFUL if few else FINE, f"{sizes[0]} {seeds}{': few' if few else ''}"
    else:
        yield CAREFUL, f"{sizes[0]} to {sizes[-1]} {seeds}, not the same for all"


def _tests(comparison: Comparison) -> Iterator[tuple[str, str]]:
    if comparison.rounds:
        yield FINE, "seeds added in rounds, 5% over all looks"
    elif comparison.family > 1:
        yield FINE, f"p corrected for {comparison.family} tests (Holm)"
    elif comparison.family == 1:
        yield FINE, "one test, nothing to correct"


def _circumstances(comparison: Comparison) -> Iterator[tuple[str, str]]:
    results = [result for variant in comparison.variants for result in variant.results]
    if not results or (not comparison.told and any(result.overrides is None for result in results)):
        return  # of another program's runs nothing is known
    mixed = comparison.mixtures
    told = {fact: comparison.told or all(FACTS[fact](r.record.provenance) for r in results) for fact in ONE}
    untold = [fact for fact, is_told in told.items() if not is_told]
    if one := [word for fact, word in ONE.items() if fact not in (*mixed, *untold)]:
        yield FINE, "one " + ", one ".join(one)
    if untold:
        yield CAREFUL, f"not known of all runs: {', '.join(untold)}"
    for fact, counts in mixed.items():
        yield CAREFUL, f"{len(counts)} {SEVERAL[fact]}"
    dirty = sum(bool((r.record.provenance.get("git") or {}).get("dirty")) for r in results)
    if dirty:
        yield CAREFUL, f"{numbered(dirty, 'run')} with uncommitted changes"


def _careful(comparison: Comparison) -> Iterator[tuple[str, str]]:
    total = sum(len(variant.entries) for variant in comparison.variants)
    if (done := comparison.count(*RESULTS)) < total:
        yield CAREFUL, f"{total - done} of {numbered(total, 'run')} have no result"
    variants = comparison.variants
    if lost := [variant for variant in variants if variant.lost]:
        yield CAREFUL, _of_lost(lost)
    if split := [variant for variant in variants if variant.is_split]:
        them = "the seeds of a variant fall" if len(split) == 1 else f"the seeds of {len(split)} variants fall"
        yield CAREFUL, f"{them} into two groups: means mislead there, look at the dots"
    if outdated := [variant for variant in variants if variant.outdated]:
        yield CAREFUL, f"{numbered(len(outdated), 'variant')} outdated: code or data changed since"
    if besides := [variant for variant in variants if variant.confounds and not variant.is_baseline]:
        differs, its = ("differs", "its row says") if len(besides) == 1 else ("differ", "their rows say")
        yield CAREFUL, f"{numbered(len(besides), 'variant')} {differs} in more than the choice, as {its}"


def _of_lost(lost: Sequence[Variant]) -> str:
    """Which variants lost runs, and what their means are then of."""
    if len(lost) > 1:
        return f"{len(lost)} variants have runs that diverged or were stopped: their means are of the others"
    (variant,) = lost
    what = "stopped" if not variant.seeds("diverged") else "diverged"
    ended = len(variant.values) + len(variant.lost)
    mean = "its mean is of the others" if variant.values else "it has no mean"
    return f"{len(variant.lost)} of {ended} runs of {variant.label} {what}: {mean}"
