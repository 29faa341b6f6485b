"""Where a run resumes: at the newest checkpoint that loads and before which no row of its history is missing."""

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
    """Where a run begins.

    checkpoint  None: with its first step
    joined      the rows before it are those of metrics.parquet and gradient_norms.parquet, not of the parts
    damage      what was passed over, and why
    """

    checkpoint: Path | None = None
    joined: bool = False
    damage: list[str] = field(default_factory=list)

    def metrics(self, directory: Path) -> list[Path]:
        """The files that hold the metrics of the steps before it."""
        history = RunHistory(directory)
        files = [history.joined("metrics")] if self.joined else history.parts_of("metrics")
        return [path for path in files if rows_in(path) is not None]


def start(directory: Path, data: str | None, keeps_best: bool) -> Start:
    """Where the run in `directory` begins.

    data        checksum of the data, where no record says that the run is of these: then its checkpoints must
    keeps_best  the result is that of the best epoch's weights (`best.pt`)

    Raises InputError for a checkpoint that holds more than tensors and plain values, which is not read.
    """
    damage: list[str] = []
    for path in reversed(checkpoints(directory / "checkpoints")):
        state = _own_state(path)
        if state is None:
            damage.append(f"{path.name} is damaged")
        elif data is not None and state.get("data") != data:
            damage.append(f"{path.name} does not say that it is of these data, and run.json is missing or damaged")
        elif keeps_best and math.isfinite(state["best_acc"]) and loaded(path.with_name("best.pt")) is None:
            damage.append("best.pt is damaged or missing")
        else:
            for joined in (False, True):
                if _is_covered(directory, step_of(path), state.get("rows"), joined):
                    return Start(path, joined, damage)
            damage.append(f"steps before {path.name} are missing in the history")
    return Start(damage=damage)


def loaded(path: Path) -> dict[str, Any] | None:
    """What torch has saved in `path`; None where it is missing, or damaged: not every byte as it was written, by the
    checksums of its zip archive, or of no use to torch.

    Raises InputError where it is whole, but holds more than tensors and plain values.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
    except Exception:  # of many kinds where it is garbage
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors and plain values, which are not read, since that runs code"
            f" ({str(error).strip().splitlines()[-1]}). A callback of +trainer.callbacks may have saved it. Train"
            " again with rerun=true, and without it."
        ) from error
    except Exception:
        return None


def _own_state(path: Path) -> dict[str, Any] | None:
    """What `Checkpoints` has saved in a checkpoint; None where that is damaged."""
    state = loaded(path)
    try:
        own = state["callbacks"][Checkpoints.__qualname__] if state else None
        return own if isinstance(own, dict) and "best_acc" in own else None
    except (KeyError, TypeError):
        return None


def _is_covered(directory: Path, step: int, rows: dict[str, int] | None, joined: bool) -> bool:
    """Whether every row of the steps before `step` is there: in the joined files, or in the parts.

    rows  how many there must be; None for a checkpoint of an older version: then every step's loss is looked for
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
    """Whether no part is missing between the first and the last, and each can be read."""
    numbers = [int(path.stem.rsplit("-", 1)[1]) for path in files if "-" in path.stem]
    return numbers == list(range(len(numbers))) and all(rows_in(path) is not None for path in files)
