"""Runs of a W&B project, anyone's, through the public API.

What a run was configured with and what varies between runs is a choice; its state is its status; its summary has the
metrics, its sampled history the curves. Runs of this tool's own are known by what it logs, and compared as from disk;
of a project that has both kinds, the more frequent is read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ablate.comparison.elsewhere import cache, configured, uploaded
from ablate.comparison.elsewhere.configured import Logged
from ablate.comparison.elsewhere.source import Asked, Found
from ablate.errors import InputError

T = TypeVar("T")

TIMEOUT = 60  # seconds for one answer, in which the library tries again what failed by the network or for the rate
SAMPLES = 200  # points of a curve
PAGE = 50  # runs in one answer


def read(names: Sequence[str], asked: Asked) -> Found:
    """The runs of a project or a sweep. Raises InputError where there are none, or the server does not give them."""
    if len(names) > 1:
        raise InputError(f"{' '.join(names)}: one project at a time is reported.")
    name = names[0]
    parts = name.partition(":")[2].strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise InputError(f"{name}: wandb:ENTITY/PROJECT or wandb:ENTITY/PROJECT/SWEEP is expected.")
    runs = _listed(name, parts, asked.where)
    ours = [run for run in runs if uploaded.is_one(run.config)]
    others = [run for run in runs if not uploaded.is_one(run.config)]
    if asked.factors or not ours:
        return configured.found(name, [_logged(name, run) for run in runs], asked)
    if len(ours) < len(others):
        found = configured.found(name, [_logged(name, run) for run in others], asked)
        return replace(found, said=[*_left_out(len(ours), len(runs), "this tool's"), *found.said])
    results = uploaded.results(ours, partial(_curve, name))
    return Found(results, said=[*_left_out(len(others), len(runs), "not this tool's"), *uploaded.said(results)])


def _listed(name: str, parts: Sequence[str], where: Mapping[str, Any] | None) -> list[Any]:
    from rich.console import Console
    from rich.progress import track

    filters = [*([dict(where)] if where else []), *([{"sweep": parts[2]}] if len(parts) == 3 else [])]
    path, wanted = "/".join(parts[:2]), {"$and": filters} if filters else {}
    found = _answer(name, lambda: _api().runs(path, wanted, per_page=PAGE, lazy=False))
    each, total = _all(name, iter(found)), _answer(name, lambda: len(found))
    return list(track(each, f"runs of {name}", total, transient=True, console=Console(stderr=True)))


def _left_out(count: int, of: int, whose: str) -> list[str]:
    """What is said of the fewer of a project's runs: this tool's and others' are not compared with each other."""
    if not count:
        return []
    return [
        f"{count} of the project's {of} runs {'is' if count == 1 else 'are'} {whose} and left out. --factors NAME …"
        f" --metric NAME compares all {of} by values of their configurations, such as choices.norm."
    ]


def _api() -> Any:
    import wandb

    return wandb.Api(timeout=TIMEOUT)


def _all(name: str, each: Iterator[Any]) -> Iterator[Any]:
    end = object()
    while (run := _answer(name, lambda: next(each, end))) is not end:
        yield run


def _answer(name: str, ask: Callable[[], T]) -> T:
    """What the server answers. Raises InputError where it does not, after the library has tried again and again."""
    try:
        return ask()
    except Exception as error:  # the library has kinds of its own, not all of them public
        said = " ".join(str(error).split())
        raise InputError(
            f"{name}: no answer from W&B's server ({said[:200]}). Is the name right, the network up, and have you done"
            " `wandb login`?"
        ) from error


def _logged(name: str, run: Any) -> Logged:
    runtime = run.summary_metrics.get("_runtime")
    return Logged(
        config=run.config,
        summary=run.summary_metrics,
        state=run.state,
        at=f"run {run.id}",
        curve=partial(_curve, name, run),
        cost={"seconds": float(runtime)} if isinstance(runtime, int | float) else {},
    )


def _curve(name: str, run: Any, metric: str) -> np.ndarray:
    """A metric of a run over its epochs, or its steps where it has none: kept on disk, since a run that is over does
    not change."""

    def fetched() -> list[list[float]]:
        for axis in ("epoch", "_step"):
            lines = _answer(name, partial(run.history, SAMPLES, [metric], axis, pandas=False))
            points = [[line[axis], line[metric]] for line in lines if _are_numbers(line.get(axis), line.get(metric))]
            if points:
                return sorted(points)
        return []

    key = [run.url, str(run.heartbeat_at), metric, SAMPLES]
    return np.asarray(cache.kept("wandb", key, fetched), dtype=float).reshape(-1, 2)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and np.isfinite(value) for value in values)
