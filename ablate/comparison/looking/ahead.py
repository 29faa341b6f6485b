"""How many runs a sweep whose seeds are added in rounds will take."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.comparison.comparison import Comparison
from ablate.comparison.looking.rounds import Declared, progress
from ablate.comparison.simulation.in_rounds import expected_runs
from ablate.runs.record import RESULTS


@dataclass(frozen=True)
class Ahead:
    """Numbers of runs, those that are done included.

    looks         in seeds
    least         every variant that goes on stops at its next look
    most          every variant that goes on needs the last look
    if_equal      to be expected where no variant differs; if_different: where all differ clearly. None where the sweep
                  has come past a look
    done          how many of them have a result
    """

    looks: tuple[int, ...]
    least: int
    most: int
    if_equal: float | None
    if_different: float | None
    done: int

    @classmethod
    def of(cls, comparison: Comparison, rules: Declared, family: Mapping[str, str]) -> "Ahead":
        """family: the variants of the plan, by name"""
        stands = progress(comparison, rules)
        own = Declared.of(rules, family).looks
        latest = {name: decision.look for name, decision in stands.latest.items()}
        decided = {name: decision.look for name, decision in stands.decisions.items()}
        least, most = (
            [decided.get(name, later(name)) for name in family]
            for later in (lambda name: latest.get(name, -1) + 1, lambda name: len(own.seeds) - 1)
        )
        is_begun = bool(latest or decided)
        seeds = set(rules.seeds[: own.seeds[max(most)]])
        return cls(
            looks=own.seeds,
            least=_runs(own.seeds, least),
            most=_runs(own.seeds, most),
            if_equal=None if is_begun else expected_runs(own, len(family), differ=False),
            if_different=None if is_begun else expected_runs(own, len(family), differ=True),
            done=sum(len(seeds.intersection(variant.seeds(*RESULTS))) for variant in comparison.variants),
        )


def _runs(seeds: tuple[int, ...], looks: list[int]) -> int:
    """Of variants that stop at these looks; the baseline goes on as long as any of them."""
    return sum(seeds[look] for look in looks) + seeds[max(looks)]
