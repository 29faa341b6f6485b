"""What the design of a comparison cannot show: interactions, aliases."""

from collections.abc import Sequence

from ablate.comparison.across import AXIS
from ablate.comparison.comparison import Comparison
from ablate.report.numbers import numbered
from ablate.statistics.effects import shows_interactions
from ablate.statistics.screens import is_screen

LISTED = 4  # aliases of a choice; of more it says how many


def limits(comparison: Comparison) -> list[str]:
    """A sentence for each thing that no run of this comparison, however many seeds it had, could tell."""
    several = len(comparison.factors.get(AXIS, ())) > 1 and len(comparison.factors) > 1
    on_data = (
        "A difference to the baseline on other data says nothing of a design: see the table of designs by data set."
    )
    return [*([on_data] if several else []), *_of_combinations(comparison)]


def _of_combinations(comparison: Comparison) -> list[str]:
    if is_screen(comparison.by_levels):
        return _of_screen(comparison)
    changed = [variant for variant in comparison.variants if not variant.is_baseline]
    if len(comparison.factors) < 2 or len(changed) < 2:
        return []
    if shows_interactions(comparison.by_levels):
        return []
    together = max(
        sum(level > 0 for level in levels)
        for levels, variant in comparison.by_levels.items()
        if not variant.is_baseline
    )
    if together == 1:
        return [
            "Each variant changes one choice, all others as in the baseline: whether a choice does more, less or the "
            "opposite where another is changed too (an interaction), this design cannot show. "
            "`python -m ablate design --pairs` makes one that can."
        ]
    return [
        "No two choices are changed both alone and together, so this design cannot show interactions, and of a variant "
        "that changes several choices not which of them did it."
    ]


def _of_screen(comparison: Comparison) -> list[str]:
    count = len(comparison.by_levels)
    together = "two" if any(effect.aliases for effect in comparison.effects) else "three"
    said = [
        f"This is a screen: all {len(comparison.factors)} choices change together in {count} of "
        f"{2 ** len(comparison.factors):,} combinations. A choice's effect is the mean of {count // 2} combinations "
        f"with it less that of {count // 2} without. What {together} choices do together (an interaction) is mixed "
        "into the effects: verdicts and intervals are those of the mix. Confirm what a screen finds by changing it "
        "alone."
    ]
    if not comparison.effects:
        lost = [variant.label for variant in comparison.variants if variant.lost]
        why = f": {', '.join(lost[:LISTED])} lost runs" if lost else ""
        said.append(f"No effect can be estimated: it takes a seed in which every combination has finished{why}.")
        return said
    seeds = comparison.effects[0].seeds
    if left := {seed for v in comparison.variants for seed in v.lost} - set(seeds):
        said.append(
            f"{numbered(len(left), 'seed')} with a lost run {'is' if len(left) == 1 else 'are'} left out of the "
            "effects, which flatters whatever lost it: see the variants."
        )
    if any(variant.is_split for variant in comparison.variants):
        said.append(
            "Seeds of some combinations fall into two groups: the effects are means of unlike runs there, and their "
            "t-tests are rough."
        )
    mixed = [f"{effect.factors[0]} with {pairs(effect.aliases)}" for effect in comparison.effects if effect.aliases]
    clear = [effect.factors[0] for effect in comparison.effects if effect.aliases == ()]
    if mixed:
        parts = [weight for effect in comparison.effects for _, weight in (effect.aliases or ())]
        signs = "; a fraction: so much of it" if any(abs(abs(part) - 1) > 1e-6 for part in parts) else ""
        signs += "; −: it is subtracted" if any(part < 0 for part in parts) else ""
        said.append(f"Mixed (aliases; × is what both do together{signs}): {'; '.join(mixed)}.")
    if clear:
        said.append(f"Clear of interactions of two choices: {', '.join(clear)}.")
    return said


def doubtful(comparison: Comparison) -> list[str]:
    """Of a screen, a sentence on the certain effects that larger ones may explain.

    Two choices of large effects are the likeliest to interact (Hamada and Wu 1992: effect heredity). Where their
    interaction is mixed into a smaller effect, that may be all there is to it.
    """
    size = {effect.factors[0]: abs(effect.difference.mean or 0.0) for effect in comparison.effects if effect.aliases}
    said = []
    for effect in comparison.effects:
        own = size.get(effect.factors[0], 0.0)
        larger = [mixed for mixed in effect.aliases or () if all(size.get(name, 0.0) > own for name in mixed[0])]
        if effect.verdict in ("better", "worse") and larger:
            said.append(f"{effect.factors[0]} ({pairs(larger)})")
    if not said:
        return []
    return [f"Perhaps only interactions of choices with larger effects: {', '.join(said)}. Change them alone to see."]


def pairs(mixed: Sequence[tuple[tuple[str, str], float]]) -> str:
    """`norm × activation, −1/3 shortcut × placement`: the interactions of two, and how much of each."""
    listed = [f"{_weight(weight)}{a} × {b}" for (a, b), weight in mixed[:LISTED]]
    more = len(mixed) - LISTED
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def _weight(weight: float) -> str:
    """1 is not said; a third is 1/3."""
    sign, size = "−" if weight < 0 else "", abs(weight)
    if abs(size - 1) < 1e-6:
        return sign
    return f"{sign}1/{1 / size:.0f} " if abs(1 / size - round(1 / size)) < 1e-6 else f"{sign}{size:.2g} "
