"""Claims held against reports: what a source says, what the runs say, and whether the two agree.

A file of claims is a YAML list. Each claim names a report's folder, beside the file, and what of its comparison speaks
to it:

    - claim: Deeper plain nets have a higher training error.
      source: He et al. 2015, figure 6
      number: 20 layers below 56           # as the source has it
      report: depth/training_loss          # the folder of a comparison.json
      variant: model=resnet56              # a row of it; or effect: {norm: none}, a main effect
      expected: worse                      # than the baseline: better, worse, or, with `ratio`, a number

`ratio: seconds`, `params` or `macs` compares costs: baseline cost divided by variant cost.

worse and better agree where that is the verdict of the comparison's results, and disagree where the verdict is the
opposite: by today's rules, at 5%, after the correction for everything that the report tests. A number agrees where it
lies within the 95% interval, or, where every run costs the same, is what the ratio rounds to.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ablate.comparison.comparison import Comparison
from ablate.comparison.values import again
from ablate.configuration import yaml_file
from ablate.errors import InputError, bare, nearest
from ablate.report.answering.findings import guesses
from ablate.report.numbers import numbered, unit
from ablate.statistics.effects import Effect
from ablate.statistics.judgement import Test
from ablate.statistics.paired import LEVEL, Difference, Estimate

NEEDED = {"claim", "source", "number", "report", "expected"}
ONE_OF = ("variant", "effect")
LOW = "in the worse of two groups"
AGREES, DISAGREES, UNSURE = "agrees", "disagrees", "can't tell"


@dataclass(frozen=True)
class Answer:
    """ours: the runs' number in words; verdict: agrees, disagrees or can't tell."""

    ours: str
    verdict: str


def show(path: Path) -> None:
    """The claims of a file and their answers as a markdown table. Raises InputError."""
    lines = ["| claim | source | its number | ours, 95% CI | |", "|---|---|---|---|---|"]
    for claim in read(path):
        found = answer(claim, path.parent)
        link = f"[{claim['source']}]({(path.parent / claim['report']).as_posix()}/index.html)"
        cells = (claim["claim"], link, claim["number"], found.ours, f"**{found.verdict}**")
        words = [" ".join(str(cell).replace("|", "\\|").split()) for cell in cells]
        lines.append(f"| {' | '.join(words)} |")
    print(bare("\n".join(lines)))  # all of it or, where a report is missing, nothing


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
    if "ratio" in claim:
        variant = _variant(claim["variant"], comparison, path)
        return _ratio(claim, comparison, variant, next(v for v in comparison["variants"] if v["is_baseline"]))
    judged = again(comparison)
    if "effect" in claim:
        effect = _effect(claim, judged, path)
        return _verdict(claim, judged, effect.difference, effect.test, effect.verdict, LOW)
    assignment = _variant(claim["variant"], comparison, path)["assignment"]
    found = next(v for v in judged.variants if v.assignment == assignment)
    verdict = found.verdict
    if verdict in ("diverged", "lost") and found.p_holm is not None and found.p_holm < LEVEL:
        verdict = "worse"  # than a baseline that surely diverges less often
    assert found.test is not None
    low = "at chance" if guesses(judged, found) and guesses(judged, judged.baseline) else LOW
    return _verdict(claim, judged, found.difference, found.test, verdict, low)


def _verdict(
    claim: dict[str, Any], comparison: Comparison, difference: Difference | None, test: Test, verdict: str, low: str
) -> Answer:
    answers = {claim["expected"]: AGREES, "worse" if claim["expected"] == "better" else "better": DISAGREES}
    return Answer(_ours(comparison, difference, test, low), answers.get(verdict, UNSURE))


def _ours(comparison: Comparison, difference: Difference | None, test: Test, low: str) -> str:
    """The mean difference, and its interval where that means something, else what became of the seeds."""
    n, m = test.n
    if n and test.lost[0] == n:
        return f"diverged in {n} of {numbered(n, 'run')}"
    if difference is None:
        return "no pair of seeds"
    of = unit(comparison.metric)
    what = "" if comparison.metric == "test/acc" else f"`{comparison.metric}` "
    mean = f"{what}{of.change(difference.mean)}{of.of_difference}"
    if not test.has_interval:
        fell = [
            f"{word}: {ours} of {n}, of the baseline {theirs}{'' if n == m else f' of {m}'}"
            for word, (ours, theirs) in (("diverged", test.lost), (low, test.low))
            if ours or theirs
        ]
        return f"{mean} ({'; '.join(fell)}), n = {difference.n}"
    if difference.interval is None:
        return "no interval: no two seeds, or none that differ"
    return f"{mean} ({of.interval(difference.interval, changes=True)}), n = {difference.n}"


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


def _effect(claim: dict[str, Any], comparison: Comparison, path: Path) -> Effect:
    for effect in comparison.effects:
        if dict(zip(effect.factors, effect.values, strict=True)) == claim["effect"]:
            return effect
    raise InputError(f"{path} has no effect {claim['effect']}.")
