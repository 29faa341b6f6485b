"""What a killed and resumed run leaves for `wandb sync`: every row once, in order, in files that end with a record."""

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

import pytest

from ablate.runs import cell
from ablate.training.saving import offline
from tests.loopback import Loopback, operation
from tests.runs.test_resume import KILLED_AT_STEP
from tests.wandb_files import values, wandb_records

RUN = ["trainer.max_epochs=3", "checkpoint.every_n_steps=4", "tracking=offline", "trainer.log_every_n_steps=1"]


def rows(directory) -> list[dict]:
    found = []
    for file in sorted(directory.glob("wandb/offline-run-*/*.wandb")):
        for entry in wandb_records(file):
            if entry.WhichOneof("record_type") == "history":
                found.append(values(entry.history.item))
    return found


def steps(found: list[dict]) -> list[int]:
    return [row["trainer/global_step"] for row in found if "train/loss_step" in row]


class Receiver(Loopback):
    """Takes what `wandb sync` sends: `rows`, in the order of their lines."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, Any]] = {}

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("file_stream"):
            history = request.get("files", {}).get("wandb-history.jsonl")
            for number, line in enumerate(history["content"] if history else ()):
                self.rows[history["offset"] + number] = json.loads(line)
            return {}
        name = operation(request.get("query", ""))
        project = {"name": "p", "entity": {"name": "e"}}
        bucket = {"id": "1", "name": "r", "displayName": "r", "config": "{}", "sweepName": "", "project": project}
        viewer = {"id": "1", "entity": "e", "username": "e", "flags": "{}", "teams": {"edges": []}}
        resumed = {
            **bucket,
            "historyLineCount": len(self.rows),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(self.rows[number]) for number in sorted(self.rows)[-1:]]),
            "summaryMetrics": "{}",
            "eventsTail": "[]",
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }
        known = {
            "UpsertBucket": {"upsertBucket": {"bucket": bucket, "inserted": not self.rows}},
            "Viewer": {"viewer": viewer},
            "RunResumeStatus": {"model": {"id": "1", **project, "bucket": resumed if self.rows else None}},
            "CreateRunFiles": {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": []}},
        }
        if name not in known:
            return self.not_known(name)
        return {"data": known[name]}


@pytest.fixture
def killed(prepared, tmp_path):
    """A run that was killed at step 17 of 30 and then finished by the same command."""
    chosen = prepared(*RUN)
    command = [sys.executable, "-c", KILLED_AT_STEP, *chosen.composition.overrides]
    process = subprocess.run(command, env={**os.environ, "KILL_AT": "17"}, capture_output=True, cwd=tmp_path)
    assert process.returncode == -signal.SIGKILL
    (file,) = chosen.directory.glob("wandb/offline-run-*/*.wandb")
    data = file.read_bytes()  # W&B's own process may have written all of it: torn as it is when the machine dies
    file.write_bytes(data[: len(data) - 11])
    cell.run(chosen)
    return chosen


def test_every_row_is_there_once_and_in_order(killed, prepared):
    whole = prepared(*RUN, runs="whole")
    cell.run(whole)
    from ablate.training import tracking

    tracking.close()
    assert steps(rows(killed.directory)) == steps(rows(whole.directory)) == list(range(30))
    for file in killed.directory.glob("wandb/offline-run-*/*.wandb"):
        data = file.read_bytes()
        assert list(offline._records(data))[-1][1] == len(data)


def test_wandb_sync_uploads_all_of_it(killed, tmp_path):
    from ablate.training import tracking

    tracking.close()
    wandb = shutil.which("wandb", path=f"{sys.prefix}/bin:{os.environ['PATH']}")
    assert wandb
    folders = sorted(map(str, killed.directory.glob("wandb/offline-run-*")))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    with Receiver() as server:
        done = subprocess.run(
            [wandb, "sync", *folders], env=clean | server.environment, cwd=tmp_path, capture_output=True, text=True
        )
    print(done.stdout, done.stderr, server.unknown)
    assert "ERROR" not in done.stdout + done.stderr
    assert done.returncode == 0
    assert steps([server.rows[number] for number in sorted(server.rows)]) == list(range(30))
