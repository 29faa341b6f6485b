"""A sweep whose seeds are added in rounds: the rules beside the runs, and what the runs say by them.

The rules are written to `<runs_dir>/.rounds/<sweep>.json` before the first run, and hold for everyone who goes on with
the sweep. What has been decided is nowhere written down: it follows from the rules and the runs.
"""

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.comparison.comparison import Comparison
from ablate.comparison.variants import Entry, Variant
from ablate.errors import InputError
from ablate.runs import record
from ablate.statistics.paired import LEVEL, Difference
from ablate.statistics.rounds import Decision, Rules, standing
from ablate.statistics.sequential import Looks
from ablate.training.saving.staging import Staging

if TYPE_CHECKING:
    from ablate.sweep.file import SweepFile

FOLDER = ".rounds"


@dataclass(frozen=True)
class Declared:
    """What was laid down before the first run.

    metric, goal  what is compared
    looks         numbers of seeds at which one looks; how their level is spent
    margin        how small a difference counts as none, in the metric's own units; None: equivalence is not asked for
    seeds         in this order
    families      variants that are corrected for each other, by the fingerprint of their first seed's run, with their
                  labels; one that joined the sweep later belongs to a later family
    before        rules that held earlier
    level         the probability of calling any variant of a family that does not differ
    """

    metric: str
    goal: str
    looks: tuple[int, ...]
    spending: str
    margin: float | None
    seeds: tuple[int, ...]
    families: tuple[dict[str, str], ...]
    begun: str
    before: tuple[dict[str, Any], ...] = ()
    level: float = LEVEL
    version: int = 1

    @property
    def rules(self) -> tuple[Any, ...]:
        """What may not change on the way."""
        return self.metric, self.goal, self.looks, self.spending, self.margin, self.seeds

    def of(self, family: Mapping[str, str]) -> Rules:
        return Rules(Looks(self.looks, self.spending), len(family), self.margin, self.level)


@dataclass(frozen=True)
class Looked(Difference):
    """Differences of a variant at its last look, with the interval that holds whenever one stops."""

    looks: Looks
    decision: Decision

    def interval_at(self, level: float) -> tuple[float, float] | None:
        if self.mean is None or not self.deviation or not self.decision.has_interval:
            return None
        half = self.looks.half_width(self.decision.look, self.deviation, level)
        return self.mean - half, self.mean + half


def path_of(runs_dir: Path, name: str, typed: Sequence[str]) -> Path:
    """Where the rules of a sweep lie. Other overrides make other runs, so another sweep."""
    plain = re.sub(r"[^\w.-]+", "_", name).strip("_.") or "sweep"
    which = hashlib.sha256("\0".join(sorted(typed)).encode()).hexdigest()[:6]
    return runs_dir / FOLDER / f"{plain}-{which}.json"


def read(path: Path) -> Declared | None:
    """The rules at `path`; None where there are none. Raises InputError for a file that nobody understands."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return Declared(**known | {name: tuple(known[name]) for name in ("looks", "seeds", "before", "families")})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} does not hold a sweep's rules ({error}): move it away, or restore it.") from error


def seeded(file: "SweepFile", seeds: Sequence[int]) -> "SweepFile":
    """The file with these seeds in place of its own."""
    return replace(file, parameters={**file.parameters, "seed": list(seeds)})


def declare(path: Path, wanted: Declared, again: bool = False, factor: float = 1) -> tuple[Declared, list[str]]:
    """Write the rules down, or take those that are there, and say what is to be said.

    again   replace rules that are there by others. These are kept, and reports tell of them
    factor  by which margins are told

    Raises InputError where there are other rules and they are not to be replaced.
    """
    known = read(path)
    if known is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _put(path, wanted, first=True):
            return wanted, []
        known = read(path)
        assert known is not None
    if known.rules != wanted.rules:
        if not again:
            apart = [
                f"{name} {_words(getattr(known, name), factor)}, not {_words(getattr(wanted, name), factor)}"
                for name in ("metric", "goal", "looks", "spending", "margin", "seeds")
                if getattr(known, name) != getattr(wanted, name)
            ]
            raise InputError(
                f"this sweep began with other rules ({'; '.join(apart)}; {path}), and its runs have been looked at by"
                " these. Keep them, or say --new-rules: the report then tells of the change."
            )
        old = {name: value for name, value in asdict(known).items() if name != "before"} | {"until": record.now()}
        changed = replace(wanted, before=(*known.before, old))
        _put(path, changed)
        return changed, [f"the rules have changed; those of {known.begun} are kept in {path}, and reports tell of it."]
    declared = {name for family in known.families for name in family}
    new = {name: label for family in wanted.families for name, label in family.items() if name not in declared}
    if not new:
        return known, []
    grown = replace(known, families=(*known.families, new))
    _put(path, grown)
    return grown, [f"joined later, so a family of its own: {', '.join(new.values())}."]


def _put(path: Path, declared: Declared, first: bool = False) -> bool:
    """Whether the file was written; the first one only where there is none."""
    write = partial(Path.write_text, data=json.dumps(asdict(declared), indent=2), encoding="utf-8")
    if not first:
        Staging(path.parent).replace(path, write)
        return True
    made = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    Staging(path.parent).replace(made, write)
    try:
        os.link(made, path)
    except FileExistsError:
        return False
    finally:
        made.unlink()
    return True


def _words(value: Any, factor: float) -> str:
    if isinstance(value, float):
        return f"{value * factor:g}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def by_name(comparison: Comparison, seed: int) -> dict[str, Variant]:
    """Each variant that can be run, by its name: the fingerprint of its run with `seed`."""
    return {
        first.fingerprint: variant
        for variant in comparison.variants
        for first in variant.entries
        if first.seed == seed and first.fingerprint
    }


def family(comparison: Comparison, seed: int) -> dict[str, str]:
    """The names of the variants but the baseline, with their labels."""
    return {name: variant.label for name, variant in by_name(comparison, seed).items() if not variant.is_baseline}


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    decisions  of the variants that have stopped, by name
    latest     of those that go on, what the last look said, if there has been one
    look       the first look, of all families, for which runs are missing; None where every variant has stopped
    running    how many variants go on
    wanted     the cells without a result that these looks need
    """

    decisions: dict[str, Decision]
    latest: dict[str, Decision]
    look: int | None
    running: int
    wanted: list[Entry]


def progress(comparison: Comparison, declared: Declared) -> Progress:
    """How far the sweep is."""
    variants = by_name(comparison, declared.seeds[0])
    baseline = results(comparison.baseline, declared.seeds, comparison.sign)
    decisions: dict[str, Decision] = {}
    latest: dict[str, Decision] = {}
    running: dict[str, int] = {}
    for names in declared.families:
        known = {name: results(variants[name], declared.seeds, comparison.sign) for name in names if name in variants}
        stands = standing(baseline, known, declared.of(names), comparison.chance)
        decisions |= stands.decisions
        latest |= stands.latest
        running |= dict.fromkeys(stands.running, stands.look or 0)
    wanted: dict[int, Entry] = {}
    for name, look in running.items():
        seeds = declared.seeds[: declared.looks[look]]
        for variant in (comparison.baseline, variants[name]):
            wanted |= {id(e): e for e in variant.entries if e.seed in seeds and e.status not in record.RESULTS}
    return Progress(decisions, latest, min(running.values(), default=None), len(running), list(wanted.values()))


def results(variant: Variant, seeds: Sequence[int], sign: int) -> list[float]:
    """Larger is better, -inf a run that diverged, up to the first seed that has no result."""
    ended = {entry.seed for entry in variant.entries if entry.status in record.RESULTS}
    found = []
    for seed in takewhile(ended.__contains__, seeds):
        found.append(sign * variant.values[seed] if seed in variant.values else -math.inf)
    return found


def by_rounds(comparison: Comparison, declared: Declared, stands: Progress | None = None) -> Progress:
    """Give the comparison's variants what the rounds decided in place of what one look at all seeds would say.

    stands  the comparison's progress, where it is known

    Only the seeds up to a variant's last look count. Of a variant that goes on, nothing is said before its first look.
    Effects over several variants are left out: their runs stopped for reasons that no test of effects knows of.
    """
    stands = stands or progress(comparison, declared)
    looks, wanted = Looks(declared.looks, declared.spending), {id(entry) for entry in stands.wanted}
    said = stands.decisions | stands.latest
    for variant in comparison.variants:
        decision = next((said[e.fingerprint] for e in variant.entries if e.fingerprint in said), None)
        is_over = decision is not None and decision.is_final
        used = declared.seeds[: declared.looks[decision.look]] if decision and is_over else declared.seeds
        variant.keep([e for e in variant.entries if id(e) in wanted or (e.status in record.RESULTS and e.seed in used)])
        if variant.is_baseline:
            continue
        variant.decision, variant.test = decision, decision.test if decision else None
        variant.difference, variant.p_holm = None, None
        if decision and decision.difference:
            values = tuple(comparison.sign * value for value in decision.difference.values)
            variant.difference = Looked(values, looks, decision)
        if decision and decision.test.p is not None and decision.bound is not None:
            variant.p_holm = min(1.0, LEVEL * decision.test.p / decision.bound)  # 0.05 is the bound, as everywhere
    comparison.effects, comparison.rounds, comparison.margin = [], declared, declared.margin
    return stands
