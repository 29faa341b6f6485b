"""The cells of a study as variants: one combination of choices each, with a run per seed."""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ablate.comparison.results import Result
from ablate.configuration.values import identity
from ablate.runs.record import LOST
from ablate.statistics.judgement import Test
from ablate.statistics.paired import Difference, Estimate, Outperforming
from ablate.statistics.rounds import GOES_ON, Decision

Assignment = dict[str, Any]

NOT_TYPED = ("seed", "rerun", "tracking.sweep")  # again, by somebody who wants a variant's runs


@dataclass(frozen=True)
class Entry:
    """One cell of a study, whether or not it has been run.

    status      to do, invalid, or its run's
    reason      why it is invalid or failed, or who runs it
    overrides   what is typed to run it; None where it is not made from here
    superseded  other runs of the same choices and seed, which do not count
    same        cells of the plan that come out identical and are this one
    without     choices that its network does not have: the assignment has the baseline's value there
    fingerprint  of its run, where a plan names it
    """

    assignment: Assignment
    seed: int
    status: str
    overrides: tuple[str, ...] | None
    result: Result | None = None
    reason: str | None = None
    superseded: tuple[Result, ...] = ()
    same: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    fingerprint: str | None = None


@dataclass
class Variant:
    """One combination of choices with its cells, one per seed, and what they say against the baseline.

    difference     to the baseline, over the seeds that both have finished; None for the baseline itself
    low            its seeds that ended in the lower of two groups, where some variant's seeds fall into two
    test           which carries the verdict; None for the baseline itself
    p_holm         the test's p-value, corrected for everything that is tested
    p_equivalent   that of the two one-sided tests of the margin, corrected likewise; None without a margin
    outperforming  over the seeds in which both have ended, diverged ones counted as lost
    outdated       what has changed since runs were trained, with their seeds
    decision       what the rounds decided, where seeds are added in rounds
    """

    assignment: Assignment
    label: str
    entries: list[Entry]
    metric: str
    is_baseline: bool = False
    difference: Difference | None = None
    paired_seeds: tuple[int, ...] = ()
    low: set[int] = field(default_factory=set)
    test: Test | None = None
    p_holm: float | None = None
    p_equivalent: float | None = None
    outperforming: Outperforming | None = None
    confounds: list[str] = field(default_factory=list)
    outdated: dict[str, list[int]] = field(default_factory=dict)
    decision: Decision | None = None

    @property
    def choices(self) -> Assignment:
        """The assignment, as far as the network has such choices."""
        return {key: value for key, value in self.assignment.items() if key not in self.entries[0].without}

    @cached_property
    def results(self) -> list[Result]:
        return [entry.result for entry in self.entries if entry.result]

    @cached_property
    def values(self) -> dict[int, float]:
        """The metric by seed, of finished runs; a value that is not finite is none."""
        return {
            result.seed: float(value)
            for result in self.results
            if result.record.status == "finished"
            and (value := result.metrics.get(self.metric)) is not None
            and math.isfinite(value)
        }

    @cached_property
    def estimate(self) -> Estimate:
        return Estimate(tuple(self.values.values()))

    def seeds(self, *statuses: str) -> list[int]:
        return [entry.seed for entry in self.entries if entry.status in statuses]

    def keep(self, entries: list[Entry]) -> None:
        """Only these count."""
        self.entries = entries
        for known in ("results", "values", "estimate"):
            self.__dict__.pop(known, None)

    @property
    def lost(self) -> list[int]:
        """The seeds that have a result but no accuracy: diverged, or stopped as hopeless."""
        return self.seeds(*LOST)

    @property
    def verdict(self) -> str:
        """baseline, better, worse, equivalent, or why none can be said."""
        if self.decision:
            return self.decision.outcome
        if not self.test:
            return "baseline" if self.is_baseline else GOES_ON
        found = self.test.verdict(self.p_holm, self.p_equivalent)
        return "lost" if found == "diverged" and self.seeds("stopped") else found

    @property
    def is_split(self) -> bool:
        """Whether its own seeds fall into two groups: then its mean and interval are meaningless."""
        return 0 < len(self.low) < len(self.values)

    def cost(self, name: str) -> float | None:
        """The median over the runs of params, macs or seconds."""
        costs = sorted(cost for r in self.results if (cost := r.record.cost.get(name)) is not None)
        return costs[len(costs) // 2] if costs else None

    @property
    def gradient_flow(self) -> dict[str, int]:
        """How many runs were judged what, where runs were."""
        verdicts = (result.record.gradient_flow for result in self.results)
        return dict(Counter(found for found in verdicts if found).most_common())

    def command(self, seeds: Iterable[int] | None = None) -> str:
        """What makes these runs, or those of some seeds, again; empty where they are not made from here."""
        typed = self.entries[0].overrides
        if typed is None:
            return ""
        wanted = [entry.seed for entry in self.entries] if seeds is None else list(seeds)
        overrides = [text for text in typed if text.split("=")[0].lstrip("+") not in NOT_TYPED]
        many = ["-m"] if len(wanted) > 1 else []
        return shlex.join(["python", "-m", "ablate", *many, *overrides, f"seed={','.join(map(str, wanted))}"])


def levels(assignment: Assignment, factors: Mapping[str, Sequence[Any]]) -> tuple[int, ...]:
    """Of each factor the position of its value; 0 is the baseline's."""
    return tuple([identity(v) for v in values].index(identity(assignment[key])) for key, values in factors.items())


def move_first(values: list[Any], value: Any) -> None:
    """Move what equals the value to the front."""
    i = [identity(v) for v in values].index(identity(value))
    values.insert(0, values.pop(i))
