"""Seeds where they are needed: what each look says of each variant, and which variants go on to the next.

A variant stops as soon as it is better or worse, is equivalent within the margin, diverged in every run, or is so
unlikely to be decided by the last look that its seeds are better spent elsewhere. The last two only ever stop; they
call nothing, so they cost no level. The decisions are a function of the results alone: whoever asks again, after a
kill or on another host, gets the same ones.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ablate.statistics.judgement import EQUIVALENT, UNDECIDED, Outcome, Test, assessed
from ablate.statistics.paired import LEVEL, Difference
from ablate.statistics.sequential import Looks, chance_to_decide, rejected
from ablate.statistics.splits import is_at_chance, low_seeds

HOPELESS = 0.05  # chance to be decided at a later look, below which a variant is given up

BETTER, WORSE, DIVERGED = "better", "worse", "diverged"
GIVEN_UP, GOES_ON = "given up", "goes on"


@dataclass(frozen=True)
class Rules:
    """What is laid down before the first run.

    family  how many variants are compared with the baseline
    level   the probability of calling any of them that does not differ
    margin  how small a difference counts as none, in the metric's own units; None: equivalence is not asked for
    """

    looks: Looks
    family: int
    margin: float | None = None
    level: float = LEVEL


@dataclass(frozen=True)
class Decision:
    """What became of a variant, and at which look.

    bound  what the test's p had to reach there; None without a test
    apart  whether all seeds of one side are at chance, and not all of the other
    """

    outcome: str
    look: int
    test: Test
    difference: Difference | None
    bound: float | None
    apart: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether an interval means something. Where one side has learned in no seed, further seeds may be of the other
        kind: of that, what has been seen says nothing."""
        return self.test.has_interval and not self.apart

    @property
    def is_final(self) -> bool:
        return self.outcome != GOES_ON

    @property
    def is_called(self) -> bool:
        return self.outcome in (BETTER, WORSE)


@dataclass(frozen=True)
class Standing:
    """How far things are.

    decisions  of the variants that have stopped
    latest     of those that go on, what the last look said, if there has been one
    look       for which results are still missing; None where every variant has stopped
    running    the variants that take part in it
    """

    decisions: dict[str, Decision]
    latest: dict[str, Decision]
    look: int | None
    running: tuple[str, ...]


def standing(
    baseline: Sequence[float], variants: Mapping[str, Sequence[float]], rules: Rules, chance: float | None = None
) -> Standing:
    """The decisions that the results lead to, look by look.

    baseline, variants  results in the order of the seeds, as far as there is one of every seed; larger is better, -inf
                        is a run that diverged
    chance              the accuracy of guessing, where the results are accuracies
    """
    decisions: dict[str, Decision] = {}
    latest: dict[str, Decision] = {}
    running = list(variants)
    for look, n in enumerate(rules.looks.seeds):
        if any(len(values) < n for values in (baseline, *(variants[name] for name in running))):
            return Standing(decisions, latest, look, tuple(running))
        known = {name: variants[name][:n] for name in running}
        found = _look(look, baseline[:n], known, rules, sum(d.is_called for d in decisions.values()), chance)
        decisions |= {name: decision for name, decision in found.items() if decision.is_final}
        latest = {name: decision for name, decision in found.items() if not decision.is_final}
        running = list(latest)
        if not running:
            break
    return Standing(decisions, {}, None, ())


def _look(
    look: int,
    baseline: Sequence[float],
    variants: Mapping[str, Sequence[float]],
    rules: Rules,
    already: int,
    chance: float | None,
) -> dict[str, Decision]:
    """What a look says of each variant."""
    looks, last = rules.looks, look == len(rules.looks.seeds) - 1
    tests = _tests(baseline, variants, chance)
    bounds = [partial(_bound, test, looks, look) for test, _ in tests.values()]
    called = rejected([test.p for test, _ in tests.values()], bounds, rules.family, already, rules.level)
    level = rules.level / max(1, rules.family - already - sum(called))
    decisions = {}
    for (name, (test, difference)), is_called in zip(tests.items(), called, strict=True):
        verdict = test.verdict(0.0 if is_called else 1.0)
        bound = None if test.p is None else _bound(test, looks, look, level)
        if verdict in (BETTER, WORSE, DIVERGED):
            outcome = verdict
        elif _is_equivalent(test, difference, rules, look):
            outcome = EQUIVALENT
        elif last:
            outcome = UNDECIDED
        elif _is_hopeless(test, difference, rules, look, level):
            outcome = GIVEN_UP
        else:
            outcome = GOES_ON
        apart = chance is not None and _at_chance(variants[name], chance) != _at_chance(baseline, chance)
        decisions[name] = Decision(outcome, look, test, difference, bound, apart)
    return decisions


def _at_chance(values: Sequence[float], chance: float) -> bool:
    return all(is_at_chance(value, chance) for value in values)


def _tests(
    baseline: Sequence[float], variants: Mapping[str, Sequence[float]], chance: float | None
) -> dict[str, tuple[Test, Difference | None]]:
    """Each variant's test against the baseline, and its differences over the seeds that both have finished."""
    finished = [
        {seed: value for seed, value in enumerate(values) if value != -math.inf}
        for values in (baseline, *variants.values())
    ]
    theirs, *low = low_seeds(finished, chance)
    found = {}
    for (name, values), mine, own in zip(variants.items(), low, finished[1:], strict=True):
        common = [seed for seed in own if seed in finished[0]]
        difference = Difference(tuple(own[seed] - finished[0][seed] for seed in common)) if common else None
        groups = (len(mine), len(theirs))
        if groups == (len(values), len(baseline)):  # of one kind, if a low one
            groups = (0, 0)
        found[name] = assessed(difference, values, baseline, low=groups), difference
    return found


def _bound(test: Test, looks: Looks, look: int, level: float) -> float:
    """What the test's p has to reach. A test that is not Student's t knows nothing of how the looks depend on each
    other: it may use what the look spends."""
    return looks.bounds(level)[look] if test.outcome is Outcome.NORMAL else looks.spent(level)[look]


def _is_equivalent(test: Test, difference: Difference | None, rules: Rules, look: int) -> bool:
    """Whether the interval that holds at all looks, and for all variants at once, lies within the margin."""
    if rules.margin is None or test.outcome is not Outcome.NORMAL or not difference or not difference.deviation:
        return False
    half = rules.looks.half_width(look, difference.deviation, rules.level / rules.family)
    assert difference.mean is not None
    return abs(difference.mean) + half < rules.margin


def _is_hopeless(test: Test, difference: Difference | None, rules: Rules, look: int, level: float) -> bool:
    if test.outcome is not Outcome.NORMAL or not difference or not difference.deviation:
        return False
    assert difference.mean is not None
    chance = chance_to_decide(rules.looks, look, difference.mean, difference.deviation, level, rules.margin)
    return chance < HOPELESS
