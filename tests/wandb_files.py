"""What W&B has written on disk for runs that were offline."""

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2


def wandb_records(file: Path) -> Iterator[wandb_internal_pb2.Record]:
    """The records of an offline run: LevelDB's log format behind W&B's header of 7 bytes."""
    data, position, record = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def offline_run(directory: Path, run_id: str = "*") -> dict:
    """What the offline file of that run below `directory` holds; without an id, the only one."""
    (file,) = directory.glob(f"wandb/offline-run-*-{run_id}/*.wandb")
    found: dict = {"exit_code": None, "configs": 0, "axes": set(), "config": {}, "summary": {}, "history": []}
    for entry in wandb_records(file):
        kind = entry.WhichOneof("record_type")
        if kind == "history":
            found["history"].append(values(entry.history.item))
        elif kind == "exit":
            found["exit_code"] = entry.exit.exit_code
        elif kind == "run":
            found |= {"id": entry.run.run_id, "sweep": entry.run.sweep_id, "project": entry.run.project}
            found |= {"name": entry.run.display_name, "group": entry.run.run_group, "tags": list(entry.run.tags)}
            found |= {"job_type": entry.run.job_type}
            found["config"] |= values(entry.run.config.update)
            found["configs"] += "recipe" in found["config"]
        elif kind == "summary":
            found["summary"] |= values(entry.summary.update)
        elif kind == "metric":
            found["axes"].add(entry.metric.step_metric or entry.metric.name)
    found["keys"] = {key for row in found["history"] for key in row}
    return found


def values(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
