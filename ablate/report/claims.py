"""Claims held against reports: what a source says, what the runs say, and whether the two agree.

A file of claims is a YAML list. Each claim names a report's folder, beside the file, and what of its comparison speaks
to it:

    - claim: Deeper plain nets have a higher training error.
      source: He et al. 2015, figure 6
      number: 20 layers below 56           # as the source has it
      report: depth/training_loss          # the folder of a comparison.json
      variant: model=resnet56              # a row of it; or effect: {norm: none}, a main effect
      expected: worse                      # than the baseline: better, worse, or, with `ratio`, a number

`ratio: seconds`, `params` or `macs` compares costs: how many times the variant's the baseline's is.

worse and better agree where the difference has that sign and is certain: at 5%, after the correction for all of the
report's comparisons. They disagree where it is certain and has the other sign. A variant of which every run diverged is
worse; of one that lost some, the rest can only tell that it is worse. A number agrees where it lies within the 95%
interval, or, where every run costs the same, is what the ratio rounds to.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import InputError, nearest
from ablate.report.numbers import numbered, unit
from ablate.study import yaml_file
from ablate.study.statistics import LEVEL, Estimate

NEEDED = {"claim", "source", "number", "report", "expected"}
ONE_OF = ("variant", "effect")
AGREES, DISAGREES, UNSURE = "agrees", "disagrees", "can't tell"


@dataclass(frozen=True)
class Answer:
    """ours: the runs' number in words; verdict: agrees, disagrees or can't tell."""

    ours: str
    verdict: str


def show(arguments: Sequence[str]) -> None:
    """`FILE.yaml`: its claims and their answers as a markdown table. Raises InputError."""
    if len(arguments) != 1:
        raise InputError("python -m ablate claims FILE.yaml: give one file of claims.")
    path = Path(arguments[0])
    lines = ["| claim | source | its number | ours, 95% CI | |", "|---|---|---|---|---|"]
    for claim in read(path):
        found = answer(claim, path.parent)
        link = f"[{claim['source']}]({(path.parent / claim['report']).as_posix()}/index.html)"
        cells = (claim["claim"], link, claim["number"], found.ours, f"**{found.verdict}**")
        words = [" ".join(str(cell).replace("|", "\\|").split()) for cell in cells]
        lines.append(f"| {' | '.join(words)} |")
    print("\n".join(lines))  # all of it or, where a report is missing, nothing


def read(path: Path) -> list[dict[str, Any]]:
    """The claims of a file. Raises InputError."""
    try:
        claims = yaml.safe_load(yaml_file.text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
        raise InputError(f"{path}: a list of claims is expected.")
    for claim in claims:
        known = NEEDED | {*ONE_OF, "ratio"}
        if missing := NEEDED - set(claim):
            raise InputError(f"{path}: the claim {claim.get('claim', claim)} lacks {', '.join(sorted(missing))}.")
        if unknown := set(claim) - known:
            raise InputError(f"{path}: {sorted(unknown)[0]} is no part of a claim.{nearest(sorted(unknown)[0], known)}")
        if sum(key in claim for key in ONE_OF) != 1:
            raise InputError(f"{path}: the claim {claim['claim']} needs either a variant or an effect.")
        is_number, is_ratio = isinstance(claim["expected"], int | float), "ratio" in claim
        if is_number != is_ratio or not (is_ratio or claim["expected"] in ("better", "worse")):
            raise InputError(f"{path}: the claim {claim['claim']} expects better or worse, or a number of a ratio.")
        if is_ratio and (claim["ratio"] not in ("seconds", "params", "macs") or "variant" not in claim):
            raise InputError(f"{path}: the claim {claim['claim']}: a variant has a ratio of seconds, params or macs.")
    return claims


def answer(claim: dict[str, Any], folder: Path) -> Answer:
    """What the comparison that a claim names says to it. Raises InputError where it has no such variant or effect."""
    path = folder / claim["report"] / "comparison.json"
    try:
        comparison = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): `python -m ablate report … --out {path.parent}`."
        ) from error
    if "effect" in claim:
        return _difference(claim, comparison, _effect(claim, comparison, path))
    variant = _variant(claim["variant"], comparison, path)
    baseline = next(v for v in comparison["variants"] if v["is_baseline"])
    if "ratio" in claim:
        return _ratio(claim, comparison, variant, baseline)
    lost, theirs = _diverged(variant), _diverged(baseline)
    if lost and lost == len(variant["runs"]) and not theirs:
        verdict = AGREES if claim["expected"] == "worse" else DISAGREES
        return Answer(f"diverged in {lost} of {numbered(lost, 'run')}", verdict)
    found = _difference(claim, comparison, variant["difference"])
    if not lost and not theirs:
        return found
    # The difference is of the finished runs, which flatters whoever lost some: it can only tell against it.
    is_worse = found.verdict == (AGREES if claim["expected"] == "worse" else DISAGREES)
    ours = f"{found.ours}; diverged: {lost}, of the baseline {theirs}"
    return Answer(ours, found.verdict if is_worse and not theirs else UNSURE)


def _difference(claim: dict[str, Any], comparison: dict[str, Any], difference: dict[str, Any] | None) -> Answer:
    if difference is None or difference["interval"] is None:
        return Answer("no interval: no two seeds, or none that differ", UNSURE)
    of, mean = unit(comparison["metric"]), difference["mean"]
    interval = of.interval(difference["interval"], changes=True)
    what = "" if comparison["metric"] == "test/acc" else f"`{comparison['metric']}` "
    ours = f"{what}{of.change(mean)}{of.of_difference} ({interval}), n = {difference['n']}"
    if difference["p_holm"] is None or difference["p_holm"] >= LEVEL:
        return Answer(ours, UNSURE)
    is_better = (mean > 0) == (comparison["goal"] == "maximize")
    return Answer(ours, AGREES if is_better == (claim["expected"] == "better") else DISAGREES)


def _ratio(
    claim: dict[str, Any], comparison: dict[str, Any], variant: dict[str, Any], baseline: dict[str, Any]
) -> Answer:
    name, expected = claim["ratio"], claim["expected"]
    if None in (variant["cost"][name], baseline["cost"][name]):
        return Answer("not run yet", UNSURE)
    if name != "seconds":  # the same in every run
        ratio = baseline["cost"][name] / variant["cost"][name]
        decimals = len(str(expected).partition(".")[2])
        return Answer(f"{ratio:.1f} times", AGREES if f"{ratio:.{decimals}f}" == str(expected) else DISAGREES)
    if comparison["metric"] != "cost/seconds":
        raise InputError(f"{claim['report']}: a ratio of seconds takes a report with --metric cost/seconds.")
    theirs = {run["seed"]: run["value"] for run in baseline["runs"] if run["value"] is not None}
    pairs = [(theirs[run["seed"]], run["value"]) for run in variant["runs"] if run["value"] and run["seed"] in theirs]
    logarithms = Estimate(tuple(math.log(a / b) for a, b in pairs))
    if logarithms.mean is None or logarithms.interval is None:
        return Answer("no interval: no two seeds, or none that differ", UNSURE)
    low, high = (math.exp(end) for end in logarithms.interval)
    ours = f"{math.exp(logarithms.mean):.1f} times ({low:.1f} to {high:.1f}), n = {logarithms.n}"
    return Answer(ours, AGREES if low <= expected <= high else DISAGREES)


def _variant(label: str, comparison: dict[str, Any], path: Path) -> dict[str, Any]:
    labels = [variant["label"] for variant in comparison["variants"]]
    if label not in labels:
        raise InputError(f"{path} has no variant {label}.{nearest(label, labels)} Variants: {', '.join(labels)}.")
    found: dict[str, Any] = comparison["variants"][labels.index(label)]
    return found


def _effect(claim: dict[str, Any], comparison: dict[str, Any], path: Path) -> dict[str, Any]:
    for effect in comparison["effects"]:
        if dict(zip(effect["factors"], effect["values"], strict=True)) == claim["effect"]:
            found: dict[str, Any] = effect
            return found
    raise InputError(f"{path} has no effect {claim['effect']}.")


def _diverged(variant: dict[str, Any]) -> int:
    return sum(run["status"] == "diverged" for run in variant["runs"])
