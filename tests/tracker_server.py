"""A stand-in for W&B's server that does all of it: it plans sweeps, takes what agents' runs send, and gives it back."""

import json
from typing import Any

from tests.loopback import operation
from tests.project_server import Uploaded, runs_of, sampled
from tests.wandb_server import ENTITY, WandbServer

PROJECT = "ours"


class TrackerServer(WandbServer):
    """`received` are the runs, by their ids, as they were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.received: dict[str, Uploaded] = {}
        self._lines: dict[str, dict[int, dict[str, Any]]] = {}

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"WANDB_MODE": "online"}

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/file_stream"):
            self._stream(path.split("/")[-2], request)
            return {}
        known = {
            "UpsertBucket": self._upsert_run,
            "RunResumeStatus": lambda variables: {"model": {"id": "1", "name": PROJECT, "bucket": None}},
            "CreateRunFiles": lambda variables: {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": []}},
            "OrganizationCoreWeaveOrganizationID": lambda variables: {"entity": {"organization": None}},
            "GetDefaultEntity": self._viewer,
            "Runs": lambda variables: runs_of(list(self.received.values()), variables),
            "RunSampledHistory": lambda variables: sampled(self.received[variables["name"]], variables),
        }
        if not path.endswith("/graphql"):
            return {}  # what the client tells of itself
        name = operation(request.get("query", ""))
        if name not in known:
            return super().answer(path, request)
        self.operations.append(name)
        return {"data": known[name](request.get("variables") or {})}

    def _upsert_run(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        sweep = next((sweep for sweep, known in self.sweeps.items() if name in known.runs), None)
        run = self.received.setdefault(name, Uploaded(name, {}, {}, state="running", sweep=sweep))
        if variables.get("config"):
            run.config |= {key: given["value"] for key, given in json.loads(variables["config"]).items()}
        if variables.get("summaryMetrics"):
            run.summary |= json.loads(variables["summaryMetrics"])
        project = {"id": "1", "name": PROJECT, "entity": {"id": "1", "name": ENTITY}}
        bucket = {"id": name, "name": name, "displayName": name, "config": "{}", "sweepName": sweep, "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _stream(self, name: str, request: dict[str, Any]) -> None:
        run, files = self.received[name], request.get("files") or {}
        if summary := files.get("wandb-summary.json"):
            run.summary |= json.loads(summary["content"][-1])
        if history := files.get("wandb-history.jsonl"):
            lines = self._lines.setdefault(name, {})
            lines |= {history["offset"] + i: json.loads(line) for i, line in enumerate(history["content"])}
            run.history = [lines[number] for number in sorted(lines)]
        if request.get("complete"):
            run.state = "crashed" if request.get("exitcode") else "finished"
