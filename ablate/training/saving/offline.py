"""What an earlier process of a run has left for `wandb sync`, cut back to where the run resumes.

A process that is killed leaves a file that ends within a record, at which `wandb sync` gives up, and rows of steps that
are trained again. The file is LevelDB's log (github.com/google/leveldb, doc/log_format.md) behind a header of 7 bytes:
blocks of 32 KiB with chunks of records, each with a checksum, a length and a kind.
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
    """Leave of each offline folder of the W&B run only whole records, up to the first row of `step` or later, where the
    run goes on. A folder in which nothing of use is left is removed.

    Returns the first step of which W&B's files may lack rows: below `step` after a kill, since W&B keeps some back.
    """
    missing = []
    for file in sorted((directory / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")):
        data = file.read_bytes()
        end, lacks = _end(data, step)
        missing.append(lacks)
        if step == 0 or end <= _HEADER:
            staging.remove(file.parent)
        elif end < len(data):
            # A copy in its place: what W&B's own process of a run that was stopped still writes goes into the old one.
            kept = data[:end]
            staging.replace(file, lambda path, kept=kept: path.write_bytes(kept))  # type: ignore[misc]
    return max(missing, default=step)


def replay(wandb_run: Any, files: Iterable[Path], since: int, until: int, every_n_steps: int) -> None:
    """Log the rows of the steps from `since` to before `until` again, from the history's files: W&B's lack them."""
    if since >= until:
        return
    for values in logged(files):
        step = int(values["trainer/global_step"])
        if since <= step < until:
            each = () if step % every_n_steps == 0 else ("train/loss_step", "lr")
            wandb_run.log({name: value for name, value in values.items() if name not in each})


def _end(data: bytes, step: int) -> tuple[int, int]:
    """Where the last record ends that is kept, and the first step of which rows may be missing."""
    from wandb.proto import wandb_internal_pb2

    end, starts = _HEADER, {-1: _HEADER}  # where the rows of a step begin
    for record, after in _records(data):
        entry = wandb_internal_pb2.Record.FromString(record)  # type: ignore[attr-defined]
        kind = entry.WhichOneof("record_type")
        if kind == "history":
            row = {item.key or ".".join(item.nested_key): item.value_json for item in entry.history.item}
            at = int(json.loads(row.get("trainer/global_step", "-1")))
            if at >= step:
                return end, step
            starts.setdefault(at, end)
        elif kind == "exit":  # all that was logged is here
            return after, min(step, max(starts) + 1)
        end = after
    last = max(starts)
    return starts[last], max(last, 0)  # of the last step other rows may have been on their way


def _records(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The whole records, each with the place where it ends; nothing more from the first damage on."""
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
