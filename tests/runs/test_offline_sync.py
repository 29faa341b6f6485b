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
from ablate.runs.record import RunRecord
from ablate.runs.tracked import links
from ablate.runs.tracked.labels import labels
from ablate.training.saving import offline
from tests import process
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
    """Takes what `wandb sync` sends, by the runs' ids: `rows`, by the numbers of their lines, and what is `told` of
    them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}
        self.told: dict[str, dict[str, Any]] = {}

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("file_stream"):
            history = request.get("files", {}).get("wandb-history.jsonl")
            received = self.rows.setdefault(path.split("/")[-2], {})
            for number, line in enumerate(history["content"] if history else ()):
                received[history["offset"] + number] = json.loads(line)
            return {}
        name, variables = operation(request.get("query", "")), request.get("variables") or {}
        run = str(variables.get("name"))
        if name == "UpsertBucket":
            self.told.setdefault(run, {}).update({key: v for key, v in variables.items() if v is not None})
        rows = self.rows.get(run, {})
        project = {"name": "p", "entity": {"name": "e"}}
        bucket = {"id": "1", "name": run, "displayName": run, "config": "{}", "sweepName": "", "project": project}
        viewer = {"id": "1", "entity": "e", "username": "e", "flags": "{}", "teams": {"edges": []}}
        resumed = {
            **bucket,
            "historyLineCount": len(rows),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(rows[number]) for number in sorted(rows)[-1:]]),
            "summaryMetrics": "{}",
            "eventsTail": "[]",
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }
        known = {
            "UpsertBucket": {"upsertBucket": {"bucket": bucket, "inserted": not rows}},
            "Viewer": {"viewer": viewer},
            "RunResumeStatus": {"model": {"id": "1", **project, "bucket": resumed if rows else None}},
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
    # Without this process's own W&B service, which would take the killed run's id for one in use.
    surroundings = {
        key: value for key, value in os.environ.items() if not key.startswith("_WANDB") and "SERVICE" not in key
    }
    ended = process.run(command, env={**surroundings, "KILL_AT": "17"}, cwd=tmp_path)
    assert ended.returncode == -signal.SIGKILL
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
    (received,) = server.rows.values()
    assert steps([received[number] for number in sorted(received)]) == list(range(30))


def test_one_command_uploads_all_runs_and_they_can_be_told_apart(prepared, tmp_path):
    from ablate.training import tracking

    cells = [prepared("tracking=offline", "trainer.max_epochs=1", *own) for own in (["seed=1"], ["norm=none"])]
    ids = [cell.run(chosen)[0].wandb.id for chosen in cells]
    tracking.close()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    command = f"{shutil.which('wandb', path=f'{sys.prefix}/bin:' + os.environ['PATH'])} sync runs/*/wandb/offline-run-*"
    with Receiver() as server:
        done = subprocess.run(
            command, shell=True, env=clean | server.environment, cwd=tmp_path, capture_output=True, text=True
        )
    assert done.returncode == 0 and "ERROR" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert set(server.rows) == set(server.told) == set(ids)
    for chosen, run in zip(cells, ids, strict=True):
        assert len(server.rows[run]) > 3
        told = server.told[run]
        own = labels(chosen)
        assert (told["displayName"], told["groupName"], told["tags"]) == (own.name, own.group, ["digits"])
        assert json.loads(told["config"])["choices"]["value"] == chosen.composition.choices


def test_leet_gets_a_folder_of_links_with_names(prepared, tmp_path):
    runs = []
    for own in (["seed=1"], ["norm=none"]):
        chosen = prepared("tracking=offline", *own)
        for began in ("20260101_000000", "20260102_000000")[: 1 + ("seed=1" in own)]:
            (chosen.directory / "wandb" / f"offline-run-{began}-abc").mkdir(parents=True)
        runs.append((" ".join(own), chosen.directory, RunRecord(name="x", fingerprint="0a1b2c3d4e5f")))
    long = prepared("tracking=offline", "seed=2").directory  # a sweep of many choices
    (long / "wandb" / "offline-run-20260101_000000-abc").mkdir(parents=True)
    runs.append(("a.key=ü " * 40, long, RunRecord(name="y", fingerprint="f5e4d3c2b1a0")))
    folder = tmp_path / "runs" / ".leet" / "ours"
    for _ in range(2):  # again, when the sweep goes on
        assert links.link(runs, folder)
        found = {path.name: path.resolve() for path in folder.iterdir()}
        assert len(found) == 4 and all(path.is_dir() for path in found.values())
        (cut,) = (name for name in found if "f5e4d3c2b1a0" in name)
        assert cut.startswith("run-a.key=ü a.key=ü ") and found.pop(cut).parent.parent == long
        (whole,) = (name for name in found if "norm=none" in name)
        assert whole == "run-norm=none"
        assert {name[-8:-2] for name in found if name != whole} == {"1 part"}
    assert not links.link([], folder)
