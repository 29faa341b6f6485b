"""What the comparisons share: what they may be told, ways that take turns, and the rows of their table."""

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

# What of a configuration the comparisons set themselves or have no use for, and what in it they honour.
IGNORED = ("compile", "matmul_precision", "gradient_norms", "trainer", "tracking", "runs_dir", "checkpoint")
HONOURED = ("trainer", "trainer.accelerator", "trainer.precision")

T = TypeVar("T")


def prepared(overrides: Sequence[str], own: Sequence[str]) -> cell.Cell:
    """The cell of the user's `overrides` and of a comparison's `own`.

    Raises InputError for an override that would change a run and does not change this comparison.
    """
    settles = {key.split(".")[0] for key in Composition.of(own).overridden}
    for key, typed in Composition.of(overrides).overridden.items():
        if key.split(".")[0] in (*settles, *IGNORED) and key not in HONOURED:
            raise InputError(f"{typed}: the bench sets that itself and does nothing with it.")
    return cell.prepare(Composition.of([*overrides, *own]))


def clock(cfg: DictConfig) -> Callable[[], float]:
    """Seconds of a single process. Of one thread on a CPU the processor's, which other programs leave nearly alone;
    else the clock's: what several threads took together would hide what one of them does while the others wait."""
    return time.process_time if cfg.trainer.accelerator == "cpu" and cfg.threads == 1 else time.perf_counter


def trained(chosen: cell.Cell, watching: Callback | None = None) -> RunRecord:
    """The record of a run of `chosen`, all of it real; `watching` takes the place of what shows its progress.

    Raises InputError where the run diverges: a training cut short is no measure.
    """
    record, _ = cell.run(chosen, progress=lambda bar: watching or Callback())
    if record.status != "finished":
        raise InputError(f"{' '.join(chosen.composition.overrides)}: the training diverged, which measures nothing.")
    return record


def wait() -> None:
    """Until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(do: Callable[[], object], times: int = 1, clock: Callable[[], float] = time.perf_counter) -> float:
    """What it takes to `do` it so many times, the GPU's work included."""
    wait()
    start = clock()
    for _ in range(times):
        do()
    wait()
    return clock() - start


def in_turns(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each way returns in each round. All take turns, in a new random order each round, so that whatever else the
    machine does falls on all of them alike."""
    shuffle = random.Random(0).shuffle
    found: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(rounds):
        order = list(ways)
        shuffle(order)
        for name in order:
            found[name].append(ways[name]())
    return found


def row(comparison: str, goal: str, values: Sequence[float], how: str) -> dict[str, Any]:
    """One line of the table. values: what each round came to."""
    return {
        "comparison": comparison,
        "goal": goal,
        "median": median(values),
        "min": min(values),
        "max": max(values),
        "how": how,
    }
