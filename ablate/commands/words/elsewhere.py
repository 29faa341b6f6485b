"""What is typed about runs from elsewhere, for the commands that take them."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ablate.comparison.elsewhere.source import Asked
from ablate.errors import InputError

RUNS = "runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runs that this tool did not make")
    group.add_argument("--factors", nargs="+", default=[], metavar="COLUMN", help="the choices (guessed, and said)")
    group.add_argument("--seed", metavar="COLUMN", help="the seed's column (seed)")
    group.add_argument("--status", metavar="COLUMN", help="the column that says how a run ended (status, state)")
    group.add_argument(
        "--paired", action="store_true", help="runs of one seed share initialisation and batches, so pair them"
    )
    group.add_argument(
        "--average", action="store_true", help="several rows of the same choices and seed count as their mean"
    )
    group.add_argument("--chance", type=float, metavar="X", help="the accuracy of guessing, such as 0.1")
    group.add_argument("--filter", metavar="JSON", help="which runs, as the tracker's API takes it")


def asked(options: argparse.Namespace) -> Asked:
    """Raises InputError for a filter that is no JSON."""
    return Asked(
        metric=options.metric,
        seed=options.seed,
        status=options.status,
        factors=options.factors,
        pair=options.paired,
        average=options.average,
        chance=options.chance,
        where=_filter(options.filter),
    )


def _filter(typed: str | None) -> dict | None:
    if typed is None:
        return None
    try:
        found = json.loads(typed)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"""--filter {typed}: a JSON object is expected, such as '{{"state": "finished"}}'.""")
    return found


def parted(what: Sequence[str]) -> tuple[list[str], list[str]]:
    """The sources, and the overrides behind them: a path that exists may have an equals sign."""
    names = [word for word in what if "=" not in word or Path(word).exists()]
    return names or [RUNS], [word for word in what if word not in names]
