"""Shared by the comparisons: which overrides they accept, timing, alternatives that take turns, and table rows."""

import functools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from ablate.configuration.composition import Composition
from ablate.errors import InputError
from ablate.runs import cell
from ablate.runs.record import RunRecord

# Keys that the comparisons set themselves or do not use, and the exceptions among them that you may override.
IGNORED = ("compile", "matmul_precision", "gradient_norms", "trainer", "tracking", "runs_dir", "checkpoint")
HONOURED = ("trainer", "trainer.accelerator", "trainer.precision")

T = TypeVar("T")


def prepared(overrides: Sequence[str], own: Sequence[str]) -> cell.Cell:
    """The cell of the user's `overrides` and the comparison's `own` ones.

    Raises InputError for an override that would change a run but not this comparison.
    """
    settles = {key.split(".")[0] for key in Composition.of(own).overridden}
    for key, typed in Composition.of(overrides).overridden.items():
        if key.split(".")[0] in (*settles, *IGNORED) and key not in HONOURED:
            raise InputError(f"{typed}: the bench sets this itself, or does not use it. Leave it out.")
    return cell.prepare(Composition.of([*overrides, *own]))


def clock(cfg: DictConfig) -> Callable[[], float]:
    """The clock to measure with. With one thread on a CPU: processor time, which other programs hardly change.
    Otherwise wall-clock time: the processor time of several threads would not show that some of them wait for
    another."""
    return time.process_time if cfg.trainer.accelerator == "cpu" and cfg.threads == 1 else time.perf_counter


def trained(chosen: cell.Cell, watching: Callback | None = None) -> RunRecord:
    """Train `chosen` as a real run, and return its record. `watching` replaces the callback that shows the progress.

    Raises InputError if the run diverges, because a training that ends early cannot be measured.
    """
    record, _ = cell.run(chosen, progress=lambda bar: watching or Callback())
    if record.status != "finished":
        raise InputError(f"{' '.join(chosen.composition.overrides)}: the training diverged and cannot be measured.")
    return record


@functools.cache
def _has_gpu() -> bool:
    """Whether there is a GPU: torch takes half a millisecond to find out, each time that it is asked."""
    return torch.cuda.is_available()


def wait() -> None:
    """Wait until the GPU has finished its work."""
    if _has_gpu():
        torch.cuda.synchronize()


def seconds(do: Callable[[], object], times: int = 1, clock: Callable[[], float] = time.perf_counter) -> float:
    """The time of calling `do` `times` times, including the GPU's work."""
    wait()
    start = clock()
    for _ in range(times):
        do()
    wait()
    return clock() - start


def in_turns(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each way returns in each round. The ways take turns in a new random order each round, so that other programs
    slow all of them equally."""
    shuffle = random.Random(0).shuffle
    found: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(rounds):
        order = list(ways)
        shuffle(order)
        for name in order:
            found[name].append(ways[name]())
    return found


def times(rounds: int) -> str:
    return "1 round" if rounds == 1 else f"{rounds} rounds"


def row(comparison: str, goal: str, values: Sequence[float], how: str, unit: str = "ratio") -> dict[str, Any]:
    """One row of the table. values: the result of each round."""
    return {
        "comparison": comparison,
        "goal": goal,
        "unit": unit,
        "rounds": list(values),
        "median": median(values),
        "min": min(values),
        "max": max(values),
        "how": how,
    }
