"""What differs between runs besides the choices that they are compared for."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ablate.comparison.derived import derived
from ablate.comparison.results import Result, differences
from ablate.runs.origin import Here
from ablate.runs.provenance import OF_NETWORKS, PACKAGES

LISTED = 4  # values or seeds that a warning names; of more it says how many


def code(provenance: dict[str, Any]) -> str:
    if "git" not in provenance:
        return ""  # nobody has said
    git = provenance["git"]
    if not git:
        return "not in a repository"
    return git["commit"][:10] + (" with uncommitted changes" if git["dirty"] else "")


def hardware(provenance: dict[str, Any]) -> str:
    machine = provenance["hardware"]
    return ", ".join(machine["gpus"]) or str(machine["cpu"])


def _libraries(provenance: dict[str, Any]) -> str:
    known = sorted(provenance["packages"].items(), key=lambda item: _place(item[0]))  # W&B keeps no order
    packages = {name: version for name, version in known if name not in OF_NETWORKS.values()}
    versions = ({"python": provenance["python"]} if provenance["python"] else {}) | packages
    return ", ".join(f"{package} {version}" for package, version in versions.items())


def _place(package: str) -> tuple[int, str]:
    return (PACKAGES.index(package) if package in PACKAGES else len(PACKAGES)), package


def _of_networks(provenance: dict[str, Any]) -> str:
    """Of libraries from which only some networks are."""
    found = [(name, provenance["packages"].get(name)) for name in sorted(set(OF_NETWORKS.values()))]
    return ", ".join(f"{name} {version}" for name, version in found if version)


# Each as words, none where it is not known.
FACTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "code": code,
    "hardware": hardware,
    "library versions": _libraries,
    "network library": _of_networks,
    "data": lambda provenance: str(provenance["data_checksum"]),
}


def confounds(
    runs: Sequence[Result],
    baseline: Sequence[Result],
    *,
    besides: Collection[str],
    superseded: Sequence[Result] = (),
    stale: Mapping[str, list[int]] | None = None,
) -> list[str]:
    """Warnings about a variant's runs, compared with the baseline's of the same seed.

    besides     the keys of the choices that are compared
    superseded  further runs of the same cells, which do not count
    stale       what `outdated` says of the runs
    """
    warnings = []
    if runs and baseline:
        for name, what in (("params", "parameters"), ("macs", "multiply-adds")):
            ours, theirs = (group[0].record.cost.get(name) for group in (runs, baseline))
            if ours and theirs and ours != theirs:
                ratio = ours / theirs
                change = f"{ratio - 1:+.2%}".replace("-", "−")
                warnings.append(f"{change} {what}" if 0.5 < ratio < 2 else f"{ratio:.3g} times the {what}")
        changed = differences(baseline[0].config, runs[0].config, besides)
        for key in derived(changed, baseline[0], runs[0], besides):
            del changed[key]
        if changed:
            shown = [f"{key} {_short(a)} → {_short(b)}" for key, (a, b) in list(changed.items())[:LISTED]]
            warnings.append(f"also differs: {_listed(shown, len(changed))}")
    if len({id(run.config) for run in runs}) > 1:
        mixed = {key for run in runs[1:] for key in differences(runs[0].config, run.config)}
        if mixed:
            warnings.append(f"its own seeds differ in {_listed(sorted(mixed)[:LISTED], len(mixed))}")
    partners = {run.seed: run for run in baseline}
    for name, fact in FACTS.items():
        apart = [run.seed for run in runs if run.seed in partners and _differ(fact, run, partners[run.seed])]
        if apart:
            warnings.append(
                f"{name} other than the baseline's in {_seeds(apart)}: {_apart(runs, partners, apart, fact)}"
            )
    resumed = [run.seed for run in runs if run.record.resumed]
    if resumed:
        warnings.append(f"resumed after an interruption: {_seeds(resumed)}")
    warnings += [f"outdated, {_seeds(seeds)}: {changed} since" for changed, seeds in (stale or {}).items()]
    if superseded:
        names = [run.name for run in superseded]
        warnings.append(f"other runs of the same choices and seed do not count: {_listed(names[:LISTED], len(names))}")
    return warnings


def outdated(runs: Sequence[Result], here: Here) -> dict[str, list[int]]:
    """What has changed since runs were trained, with their seeds; only what is cheap to find out."""
    found: dict[str, list[int]] = {}
    for run in runs:
        then = run.record.provenance
        if changed := here.difference(then, run.config, then.get("data_root")):
            found.setdefault(changed, []).append(run.seed)
    return found


def mixtures(runs: Sequence[Result]) -> dict[str, dict[str, int]]:
    """The facts that are not the same for all runs: how many runs have which value."""
    counts = {
        name: Counter(found for run in runs if (found := fact(run.record.provenance))) for name, fact in FACTS.items()
    }
    return {name: dict(counter.most_common()) for name, counter in counts.items() if len(counter) > 1}


def _differ(fact: Callable[[dict[str, Any]], str], run: Result, other: Result) -> bool:
    """Whether it is a fact of both, and not the same."""
    ours, theirs = fact(run.record.provenance), fact(other.record.provenance)
    return bool(ours and theirs) and ours != theirs


def _apart(
    runs: Sequence[Result], partners: dict[int, Result], seeds: list[int], fact: Callable[[dict[str, Any]], str]
) -> str:
    """The first pair that differs, reduced to the parts in which it does."""
    run = next(run for run in runs if run.seed == seeds[0])
    ours, theirs = (fact(r.record.provenance).split(", ") for r in (run, partners[seeds[0]]))
    own = ", ".join(part for part in ours if part not in theirs) or ", ".join(ours)
    other = ", ".join(part for part in theirs if part not in ours) or ", ".join(theirs)
    return f"{own} instead of {other}"


def _seeds(seeds: list[int]) -> str:
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"{word} {_listed([str(seed) for seed in seeds[:LISTED]], len(seeds))}"


def _listed(shown: list[str], total: int) -> str:
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
