"""What a report says of a sweep whose seeds were added in rounds."""

from typing import Any

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Variant
from ablate.report.numbers import numbered, unit
from ablate.runs.record import RESULTS
from ablate.statistics.rounds import GOES_ON


def rules(comparison: Comparison) -> str:
    """The rules in one sentence."""
    declared = comparison.rounds
    assert declared is not None
    of = unit(declared.metric)
    margin = (
        "; equivalence is not asked for"
        if declared.margin is None
        else f"; a difference below {of.value(declared.margin)}{of.of_difference} counts as none"
    )
    return (
        f"Seeds were added in rounds, with looks at {', '.join(map(str, declared.looks))} seeds, by rules laid down "
        f"before the first run: 5% over all variants and looks, {declared.spending.replace('_', '-')} spending, "
        f"{declared.metric}{margin}."
    )


def saved(comparison: Comparison) -> str:
    """How many runs it took, and how many all seeds of every variant would have taken."""
    declared = comparison.rounds
    assert declared is not None
    used = comparison.count(*RESULTS)
    full = len(comparison.variants) * declared.looks[-1]
    return f"{numbered(used, 'run')}; all {declared.looks[-1]} seeds of every variant would have taken {full}."


def rounds(comparison: Comparison) -> list[str]:
    """What a reader has to know of it; nothing where seeds were not added in rounds."""
    declared = comparison.rounds
    if declared is None:
        return []
    said = [
        f"{rules(comparison)} {saved(comparison)} Intervals hold whenever one stops, p is told such that 0.05 is "
        "what the look asked for. Main effects and interactions are not told: runs stopped for reasons that no "
        "test of them knows of."
    ]
    by_look: dict[int, list[str]] = {}
    for variant in comparison.variants:
        if variant.decision and variant.decision.is_final:
            seeds = declared.looks[variant.decision.look]
            by_look.setdefault(seeds, []).append(f"{variant.label} ({variant.decision.outcome})")
    said += [f"Decided at {seeds} seeds: {', '.join(labels)}." for seeds, labels in sorted(by_look.items())]
    if going := [v.label for v in comparison.variants if v.verdict == GOES_ON]:
        said.append(f"Not decided yet: {', '.join(going)}.")
    if apart := [v.label for v in comparison.variants if v.decision and v.decision.apart]:
        said.append(
            f"Of {', '.join(apart)} and the baseline, one is at chance in every seed. There is no interval: what other "
            "seeds would do, these cannot say."
        )
    if len(declared.families) > 1:
        said.append(
            f"{numbered(sum(map(len, declared.families[1:])), 'variant')} joined later: each later family has 5% of "
            "its own."
        )
    said += [
        f"The rules were changed: until {old['until']} they were looks at {', '.join(map(str, old['looks']))} seeds, "
        f"margin {old['margin']}, {old['metric']}. What was decided by both may be wrong more often than 5%."
        for old in declared.before
    ]
    return said


def decision(variant: Variant, comparison: Comparison) -> dict[str, Any] | None:
    """What the rounds decided of a variant, for comparison.json."""
    if not variant.decision or comparison.rounds is None:
        return None
    return {
        "outcome": variant.decision.outcome,
        "seeds": comparison.rounds.looks[variant.decision.look],
        "p": variant.decision.test.p,
        "bound": variant.decision.bound,
    }
