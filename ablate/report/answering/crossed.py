"""What crossed choices do where it depends on another: simple effects instead of an average of unlike ones."""

import re

from ablate.comparison.comparison import Comparison
from ablate.comparison.simple import Simple, alone, simple_effects
from ablate.configuration.values import word
from ablate.report.answering.findings import by_ranks, fell, in_the_mean
from ablate.report.answering.phrases import at, change, changing, how_surely, moved, short
from ablate.report.numbers import numbered
from ablate.statistics.effects import Effect


def depending(comparison: Comparison, interaction: Effect) -> list[str]:
    """The two simple effects of an interaction, and what further choices do alone; empty where they were not run."""
    factor, other = _asked(comparison, interaction)
    found = simple_effects(comparison, interaction, factor)
    if len(found) < 2:
        return []
    subject = changing(comparison, factor, found[0].value, found[0].was)
    told = [f"It depends on the {short(comparison, other)}."]
    for effect in found:
        told.append(f"With {at(comparison, effect.where)} {_told(comparison, effect, subject)}.")
        subject = "it"
    return [" ".join(told), *_besides(comparison, factor)]


def _besides(comparison: Comparison, told: str) -> list[str]:
    """What each other choice does alone, the largest of its values; the certain ones first."""
    largest: dict[str, Effect] = {}
    mains = [effect for effect in comparison.effects if len(effect.factors) == 1 and effect.factors[0] != told]
    for effect in sorted(mains, key=lambda effect: -abs(effect.difference.mean or 0.0)):
        largest.setdefault(effect.factors[0], effect)
    found = [one for effect in largest.values() if (one := alone(comparison, effect.factors[0], effect.values[0]))]
    found.sort(key=lambda one: not one.is_certain)
    if not found:
        return []
    said = [_told(comparison, one, changing(comparison, one.factor, one.value, one.was)) for one in found]
    return [f"All else as in the baseline, {'; '.join(said)}."]


def _told(comparison: Comparison, effect: Simple, subject: str) -> str:
    """What a simple effect comes to: the direction where that is certain."""
    test, difference = effect.test, effect.difference
    if not test.has_interval or difference is None:
        same = effect.theirs.is_baseline
        theirs = "{} of the baseline's" if same else f"{{}} with {at(comparison, {effect.factor: effect.was})}"
        how = f"{fell(comparison, test, (effect.ours, effect.theirs), theirs)} {by_ranks(test, effect.p_holm)}"
        if not effect.is_certain:
            return f"{subject} is undecided: {how}"
        which = "better" if test.direction > 0 else "worse"
        return f"{subject} is {which}{in_the_mean(comparison, difference, test)}: {how}"
    how = how_surely(comparison, difference, test, effect.p_holm, moved=effect.is_certain)
    if effect.is_certain:
        return f"{subject} {moved(comparison, difference)} {how}"
    seen = f"makes no difference that {numbered(difference.n, 'seed')} can see"
    return f"{subject} {seen}: {change(comparison, difference)} {how}"


def _asked(comparison: Comparison, interaction: Effect) -> tuple[str, str]:
    """Which of two choices the question is about, and the one that it depends on.

    The one that the question names first, else the one with more values, else the first.
    """
    words = re.findall(r"\w+", (comparison.question or "").partition("?")[0].lower())

    def place(factor: str) -> int:
        named = {short(comparison, factor).lower(), *(word(value).lower() for value in comparison.factors[factor])}
        return next((i for i, found in enumerate(words) if found in named - {"none"}), len(words))

    first, second = sorted(
        interaction.factors,
        key=lambda factor: (place(factor), -len(comparison.factors[factor]), list(comparison.factors).index(factor)),
    )
    return first, second
