"""What a change is called and which way it goes, in plain words."""

from collections.abc import Mapping
from typing import Any

from ablate.comparison.comparison import Comparison
from ablate.configuration.values import word
from ablate.report.numbers import numbered, p_phrase, unit
from ablate.statistics.judgement import Test
from ablate.statistics.paired import Difference

NOTHING = ("none", "null")


def short(comparison: Comparison, factor: str) -> str:
    """The last part of a choice's name, `lr` of optimizer.lr, unless two choices share it."""
    last = factor.rsplit(".", 1)[-1]
    return last if [f.rsplit(".", 1)[-1] for f in comparison.factors].count(last) == 1 else factor


def changing(comparison: Comparison, factor: str, value: Any, was: Any) -> str:
    """`taking the norm away`, or `shortcut=projection instead of zero_pad`."""
    name = short(comparison, factor)
    if word(value) in NOTHING:
        return f"taking the {name} away"
    if word(was) in NOTHING:
        return f"{name}={word(value)} instead of no {name}"
    return f"{name}={word(value)} instead of {word(was)}"


def at(comparison: Comparison, where: Mapping[str, Any]) -> str:
    """`lr=0.005`, `no norm`."""
    named = ((short(comparison, factor), word(value)) for factor, value in where.items())
    return " ".join(f"no {name}" if value in NOTHING else f"{name}={value}" for name, value in named)


def moved(comparison: Comparison, difference: Difference) -> str:
    """`costs 6.5 points`, `lowers train/loss by 0.062`, `takes 15.1 s less`: the mean, without its interval."""
    of, mean = unit(comparison.metric).to(difference.interval), difference.mean or 0.0
    size = f"{of.value(abs(mean))}{of.of_difference}"
    if comparison.metric == "cost/seconds":
        return f"takes {size} {'less' if mean < 0 else 'more'}"
    if of.of_value == "%" and comparison.sign > 0:
        return f"{'costs' if mean < 0 else 'gains'} {size}"
    return f"{'lowers' if mean < 0 else 'raises'} {comparison.metric} by {size}"


def change(comparison: Comparison, difference: Difference, words: str = "") -> str:
    """`−1.0 points`, signed, to as many decimals as its interval bears."""
    of = unit(comparison.metric).to(difference.interval)
    return f"{of.change(difference.mean)}{words or of.of_difference}"


def how_surely(
    comparison: Comparison, difference: Difference, test: Test, p_holm: float | None, *, moved: bool = False
) -> str:
    """In brackets: interval, p (corrected for all tests of the report) and seeds; or why there is no interval.

    moved  the words before say the direction (`moved`): an interval on one side of zero then needs no signs
    """
    if difference.n == 1:
        return "(one seed: no interval)"
    seeds = numbered(difference.n, "seed")
    if difference.interval is None:
        lacks = "no interval, as one side is at chance in every seed"
        why = lacks if difference.deviation else "every seed gives the same"
        return f"({why}: {test.name}, {p_phrase(p_holm)}, {seeds})"
    of, (low, high) = unit(comparison.metric).to(difference.interval), difference.interval
    if moved and low * high > 0:
        low, high = sorted((abs(low), abs(high)))
        return f"(95% CI {of.interval((low, high))}, {p_phrase(p_holm)}, {seeds})"
    interval = of.interval((low, high), changes=True)
    return f"(95% CI {interval}, {p_phrase(p_holm)}, {seeds})"


def capital(text: str) -> str:
    """Words begin a sentence with a capital; options are written as they are typed."""
    return text[:1].upper() + text[1:] if text.startswith(("the ", "no ", "taking ")) else text
