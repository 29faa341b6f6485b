"""Finds where a run resumes: the newest checkpoint that can be loaded, with no row of history missing before it."""

import math
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from ablate.errors import InputError
from ablate.training.saving.checkpoints import Checkpoints, checkpoints, step_of
from ablate.training.saving.history import SCHEMAS, RunHistory, read, rows_in


@dataclass(frozen=True)
class Start:
    """Where a run starts.

    checkpoint  the checkpoint to resume from; None to start with the first step
    joined      the history before it is in metrics.parquet and gradient_norms.parquet, not in parts
    damage      the checkpoints that cannot be used, and why
    """

    checkpoint: Path | None = None
    joined: bool = False
    damage: list[str] = field(default_factory=list)

    def metrics(self, directory: Path) -> list[Path]:
        """The files with the metrics of the steps before the checkpoint."""
        history = RunHistory(directory)
        files = [history.joined("metrics")] if self.joined else history.parts_of("metrics")
        return [path for path in files if rows_in(path) is not None]


def start(directory: Path, data: str | None, keeps_best: bool) -> Start:
    """Where the run in `directory` starts.

    data        checksum of the data, if there is no record to compare it with: then the checkpoint must have it
    keeps_best  the run's result needs the weights of the best epoch (`best.pt`)

    Raises InputError for a checkpoint that contains more than tensors and plain values.
    """
    damage: list[str] = []
    for path in reversed(checkpoints(directory / "checkpoints")):
        state = _own_state(path)
        if state is None:
            damage.append(f"{path.name} is damaged")
        elif data is not None and state.get("data") != data:
            damage.append(f"{path.name} has another checksum of the data, and run.json is missing or damaged")
        elif keeps_best and math.isfinite(state["best_acc"]) and loaded(path.with_name("best.pt")) is None:
            damage.append("best.pt is damaged or missing")
        else:
            for joined in (False, True):
                if _is_covered(directory, step_of(path), state.get("rows"), joined):
                    return Start(path, joined, damage)
            damage.append(f"steps before {path.name} are missing in the history")
    return Start(damage=damage)


def loaded(path: Path) -> dict[str, Any] | None:
    """What torch has saved in `path`; None if the file is missing or damaged. The zip archive's checksums are verified.

    Raises InputError if the file is whole but contains more than tensors and plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
    except Exception:  # garbage in a file can raise anything
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} contains more than tensors and plain values. It is not read, because that can run code"
            f" ({str(error).strip().splitlines()[-1]}). A callback in +trainer.callbacks may have saved it: leave the"
            " callback out and train again with rerun=true."
        ) from error
    except Exception:
        return None


def _own_state(path: Path) -> dict[str, Any] | None:
    """The state of `Checkpoints` in a checkpoint; None if that is damaged."""
    state = loaded(path)
    try:
        own = state["callbacks"][Checkpoints.__qualname__] if state else None
        return own if isinstance(own, dict) and "best_acc" in own else None
    except (KeyError, TypeError):
        return None


def _is_covered(directory: Path, step: int, rows: dict[str, int] | None, joined: bool) -> bool:
    """Whether the history has every row of the steps before `step`: in the joined files, or in the parts.

    rows  how many there must be. None for a checkpoint of an older version: then every step must have a loss
    """
    history = RunHistory(directory)
    files = {kind: [history.joined(kind)] if joined else history.parts_of(kind) for kind in SCHEMAS}
    if rows is None:
        return _has_steps(files["metrics"], step) and all(_is_gapless(files[kind]) for kind in SCHEMAS)
    return all(sum(rows_in(path, step) or 0 for path in files[kind]) >= rows[kind] for kind in SCHEMAS)


def _has_steps(files: list[Path], step: int) -> bool:
    found: set[int] = set()
    for path in files:
        try:
            table = read(path)
        except (pa.ArrowException, OSError):
            continue
        found.update(table.filter(pc.equal(table["name"].cast(pa.string()), "train/loss_step"))["step"].to_pylist())
    return found.issuperset(range(step))


def _is_gapless(files: list[Path]) -> bool:
    """Whether the parts are numbered without a gap, and all can be read."""
    numbers = [int(path.stem.rsplit("-", 1)[1]) for path in files if "-" in path.stem]
    return numbers == list(range(len(numbers))) and all(rows_in(path) is not None for path in files)
