"""What a report shows of a comparison, in words and drawings: the same for the page, the files and the terminal."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.comparison.across import Across, across
from ablate.comparison.comparison import Comparison
from ablate.comparison.pair import Pair
from ablate.comparison.variants import Entry, Variant
from ablate.configuration.values import word
from ablate.report.answer import answer
from ablate.report.illustrations import Figure, Kind, illustrations
from ablate.report.notes import circumstances, notes
from ablate.report.numbers import DASH, Unit, count, duration, p_value, percent, unit
from ablate.runs.record import RESULTS, RunRecord
from ablate.statistics.judgement import Outcome

# What a page holds at most, however many runs there are; comparison.json holds everything.
ROWS = 200
RUNS = 24
DRAWN = 13


@dataclass
class Contents:
    """A comparison, and what is shown of it.

    made     where and how long the runs were trained
    rows     of the main table
    drawn    the variants that have a curve, by their series: 0 is the baseline
    figures  all drawings, in the page's order
    pair     what two runs or variants side by side have besides
    across   the designs by data sets, where there are several
    """

    comparison: Comparison
    answer: list[str]
    notes: list[str]
    made: str
    rows: list[dict[str, Any]]
    drawn: dict[int, Variant]
    labels: list[str]
    figures: list[Figure] = field(default_factory=list)
    pair: Pair | None = None
    across: Across | None = None

    @property
    def choices(self) -> list[str]:
        """Those that have a column of their own in tables: all, where more than one varies."""
        factors = list(self.comparison.factors)
        return factors if len(factors) > 1 else []

    @property
    def unit(self) -> Unit:
        return unit(self.comparison.metric)

    def of(self, *kinds: Kind) -> list[Figure]:
        """The figures of these kinds."""
        return [figure for figure in self.figures if figure.kind in kinds]


def contents(comparison: Comparison, pair: Pair | None = None, drawn_before: Path | None = None) -> Contents:
    """drawn_before: the figures of the report that a stored comparison is of, for those that need the runs."""
    of = unit(comparison.metric)
    shown = _most_telling(comparison, ROWS)
    drawn = dict(enumerate(_most_telling(comparison, DRAWN)))
    labels = [variant.label for variant in drawn.values()]
    return Contents(
        comparison=comparison,
        answer=answer(comparison),
        notes=notes(comparison),
        made=circumstances(comparison),
        rows=[row(variant, comparison, of) for variant in shown],
        drawn=drawn,
        labels=labels,
        figures=illustrations(comparison, drawn, labels, drawn_before),
        pair=pair,
        across=across(comparison),
    )


def row(variant: Variant, comparison: Comparison, of: Unit) -> dict[str, Any]:
    """A variant's numbers as words, and the numbers that a column is sorted by."""
    estimate, difference, better, test = variant.estimate, variant.difference, variant.outperforming, variant.test
    p_flip = difference.p_sign_flip if difference else None
    detectable = difference.detectable(comparison.level) if difference and test and test.has_interval else None
    interval = of.interval(difference.interval if difference else None, changes=True)
    ended = len(variant.seeds("failed", *RESULTS))
    return {
        "label": variant.label,
        "is_baseline": variant.is_baseline,
        "choices": " ".join(f"{key}={word(value)}" for key, value in variant.choices.items()),
        "values": [word(variant.choices[key]) if key in variant.choices else DASH for key in comparison.factors],
        "n": estimate.n,
        "mean": (estimate.mean, of.value(estimate.mean)),
        "interval": _interval(variant, of),
        "difference": (difference.mean if difference else None, of.change(difference.mean if difference else None)),
        "difference_interval": interval if test is None or test.has_interval else str(test.outcome),
        "pairs": difference.n if difference else 0,
        "p": (variant.p_holm, p_value(variant.p_holm)),
        "test": test.name if test else "",
        "p_sign_flip": (p_flip, p_value(p_flip)),
        "verdict": variant.verdict,
        "better": (better.share if better else None, percent(better.share if better else None)),
        "better_interval": " to ".join(percent(end) for end in better.interval) if better else DASH,
        "detectable": (detectable, of.value(detectable)),
        "params": _counted(variant.cost("params")),
        "macs": _counted(variant.cost("macs")),
        "seconds": (variant.cost("seconds"), duration(variant.cost("seconds"))),
        "flow": ", ".join(f"{name} {n}/{ended}" for name, n in variant.gradient_flow.items()) or DASH,
        "low": len(variant.low),
        "diverged": len(variant.seeds("diverged")),
        "stopped": len(variant.seeds("stopped")),
        "failed": len(variant.seeds("failed")),
        "confounds": variant.confounds,
        "runs": [_run(entry, variant.metric, of) for entry in variant.entries[:RUNS]],
        "more_runs": max(0, len(variant.entries) - RUNS),
        "command": variant.command(),
        "missing": variant.seeds("to do", "running", "interrupted", "failed", "damaged"),
        "missing_command": variant.command(missing)
        if (missing := variant.seeds("to do", "interrupted", "failed", "damaged"))
        else "",
        "reason": next((entry.reason for entry in variant.entries if entry.reason), None),
    }


def _interval(variant: Variant, of: Unit) -> str:
    """Of the mean; or why Student's interval means nothing."""
    if variant.lost:
        return str(Outcome.LOST)
    return str(Outcome.SPLIT) if variant.is_split else of.interval(variant.estimate.interval)


def _run(entry: Entry, metric: str, of: Unit) -> dict[str, Any]:
    known = entry.result.record if entry.result else RunRecord()
    value = known.summary.get(metric) if entry.status == "finished" else None
    said = entry.status
    if entry.status == "diverged":
        said = f"diverged at step {known.diverged_at}"
    elif entry.status == "stopped" and known.stopped:
        said = f"stopped at step {known.stopped['step']}: {known.stopped['reason']}"
    elif entry.status == "interrupted" and entry.reason:
        said = f"interrupted: {entry.reason}"
    elif entry.status == "failed":
        said = f"failed: {(entry.reason or known.failure)[:200]}"
    return {
        "seed": entry.seed,
        "status": entry.status,
        "said": said,
        "value": of.value(value),
        "fingerprint": known.fingerprint or None,
        "directory": entry.result.place if entry.result else None,
        "url": url if (url := known.wandb.url) and url.startswith("https://") else None,
    }


def _counted(number: float | None) -> tuple[float | None, str]:
    return number, DASH if number is None else count(number)


def _most_telling(comparison: Comparison, most: int) -> list[Variant]:
    """The baseline and the variants with the largest differences, in the table's order."""
    variants = comparison.variants
    if len(variants) <= most:
        return variants
    order = sorted(
        variants,
        key=lambda v: (not v.is_baseline, v.difference is None, -abs(v.difference.mean or 0) if v.difference else 0),
    )
    kept = {id(variant) for variant in order[:most]}
    return [variant for variant in variants if id(variant) in kept]
