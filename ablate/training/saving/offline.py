"""Cuts the offline files of W&B back to the step where a run resumes.

A killed process leaves a file that ends within a record, at which `wandb sync` fails, and rows of steps that will be
trained again. The file has a header of 7 bytes, followed by LevelDB's log format (github.com/google/leveldb,
doc/log_format.md): blocks of 32 KiB with chunks of records, each with a checksum, a length and a kind.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ablate.training.saving.history import logged
from ablate.training.saving.staging import Staging

_HEADER, _BLOCK = 7, 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def cut(directory: Path, run_id: str, step: int, staging: Staging) -> int:
    """Cut the offline files of the W&B run: keep whole records before the first row of `step`, at which the run
    resumes. A folder with nothing useful left is removed.

    Returns the first step whose rows may be missing in W&B's files. After a kill that is before `step`, because W&B
    writes some rows late.
    """
    missing = []
    for file in sorted((directory / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")):
        data = file.read_bytes()
        end, lacks = _end(data, step)
        missing.append(lacks)
        if step == 0 or end <= _HEADER:
            staging.remove(file.parent)
        elif end < len(data):
            # Replaced by a copy: a W&B process that is still running then writes to the old file only.
            kept = data[:end]
            staging.replace(file, lambda path, kept=kept: path.write_bytes(kept))  # type: ignore[misc]
    return max(missing, default=step)


def replay(wandb_run: Any, files: Iterable[Path], since: int, until: int, every_n_steps: int) -> None:
    """Log the rows of steps since <= step < until again, from the history's `files`: W&B's files lack them."""
    if since >= until:
        return
    for values in logged(files):
        step = int(values["trainer/global_step"])
        if since <= step < until:
            each = () if step % every_n_steps == 0 else ("train/loss_step", "lr")
            wandb_run.log({name: value for name, value in values.items() if name not in each})


def _end(data: bytes, step: int) -> tuple[int, int]:
    """The position where the last record to keep ends, and the first step whose rows may be missing."""
    from wandb.proto import wandb_internal_pb2

    end, starts = _HEADER, {-1: _HEADER}  # starts: the position of each step's first row
    for record, after in _records(data):
        entry = wandb_internal_pb2.Record.FromString(record)  # type: ignore[attr-defined]
        kind = entry.WhichOneof("record_type")
        if kind == "history":
            row = {item.key or ".".join(item.nested_key): item.value_json for item in entry.history.item}
            at = int(json.loads(row.get("trainer/global_step", "-1")))
            if at >= step:
                return end, step
            starts.setdefault(at, end)
        elif kind == "exit":  # the run ended normally, so nothing that was logged is missing
            return after, min(step, max(starts) + 1)
        end = after
    last = max(starts)
    return starts[last], max(last, 0)  # the last step may have had more rows that were not written


def _records(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The whole records, each with the position where it ends, up to the first damage."""
    place, record = _HEADER, b""
    while True:
        left = _BLOCK - place % _BLOCK
        if left < 7:
            place += left
            continue
        if place + 7 > len(data):
            return
        checksum, length, kind = struct.unpack_from("<IHB", data, place)
        piece = data[place + 7 : place + 7 + length]
        if length > left - 7 or len(piece) < length or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        if checksum != zlib.crc32(bytes([kind]) + piece):
            return
        place += 7 + length
        record = piece if kind in (_FULL, _FIRST) else record + piece
        if kind in (_FULL, _LAST):
            yield record, place
