"""A stand-in for W&B's server that has the runs of a project, and gives them to its public API."""

import json
import operator
from dataclasses import dataclass, field
from typing import Any

from tests.loopback import Loopback, operation

ENTITY, PROJECT = "them", "study"
_COMPARED = {"$eq": operator.eq, "$ne": operator.ne, "$in": lambda a, b: a in b, "$gte": operator.ge}


@dataclass
class Uploaded:
    """A run as the server has it; history is its rows."""

    name: str
    config: dict[str, Any]
    summary: dict[str, Any]
    state: str = "finished"
    history: list[dict[str, Any]] = field(default_factory=list)
    sweep: str | None = None


class ProjectServer(Loopback):
    """The project them/study. `failures` are HTTP statuses with which the next requests are answered."""

    def __init__(self, runs: list[Uploaded]) -> None:
        super().__init__()
        self.runs, self.failures = runs, list[int]()
        self.operations: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"WANDB_MODE": "online"}

    def status(self, path: str) -> int:
        return self.failures.pop(0) if self.failures and path.endswith("/graphql") else 200

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if not path.endswith("/graphql"):
            return {}  # what the client tells of itself
        name = operation(request.get("query", ""))
        known = {
            "Viewer": self._viewer,
            "GetDefaultEntity": self._viewer,
            "Runs": self._runs,
            "RunSampledHistory": self._sampled,
        }
        self.operations.append(name)
        if name not in known:
            return self.not_known(name)
        return {"data": known[name](request.get("variables") or {})}

    def _viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": teams}}

    def _runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        if (variables["entity"], variables["project"]) != (ENTITY, PROJECT):
            return {"project": None}
        return runs_of(self.runs, variables)

    def _sampled(self, variables: dict[str, Any]) -> dict[str, Any]:
        (run,) = [run for run in self.runs if run.name == variables["name"]]
        return sampled(run, variables)


def runs_of(runs: list[Uploaded], variables: dict[str, Any]) -> dict[str, Any]:
    """A page of them, of those that the query's filter lets through."""
    wanted = json.loads(variables["filters"])
    found = [run for run in runs if _matches(run, wanted)]
    start, size = int(variables.get("cursor") or 0), variables["perPage"]
    edges = [
        {"node": _node(number, run), "cursor": str(number)}
        for number, run in enumerate(found[start : start + size], start + 1)
    ]
    page = {"endCursor": str(start + len(edges)), "hasNextPage": start + size < len(found)}
    connection = {"edges": edges, "pageInfo": page}
    return {"project": {"internalId": "1", "runCount": len(found), "readOnly": True, "runs": connection}}


def sampled(run: Uploaded, variables: dict[str, Any]) -> dict[str, Any]:
    """The rows of the run's history that have all keys that are asked for."""
    keys = json.loads(variables["specs"][0])["keys"]
    rows = [{key: row[key] for key in keys} for row in run.history if all(key in row for key in keys)]
    return {"project": {"run": {"sampledHistory": [rows]}}}


def _node(number: int, run: Uploaded) -> dict[str, Any]:
    return {
        "projectId": "1",
        "id": f"id-{run.name}",
        "name": run.name,
        "displayName": run.name,
        "sweepName": run.sweep,
        "state": run.state,
        "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
        "summaryMetrics": json.dumps(run.summary),
        "systemMetrics": "{}",
        "historyKeys": {},
        "historyLineCount": len(run.history),
        "tags": [],
        "group": None,
        "jobType": None,
        "commit": None,
        "readOnly": True,
        "createdAt": f"2026-01-01T00:00:{number % 60:02d}",
        "heartbeatAt": "2026-01-01T01:00:00",
        "description": None,
        "notes": None,
        "user": {"name": "x", "username": "x"},
    }


def _matches(run: Uploaded, wanted: dict[str, Any]) -> bool:
    """The part of Mongo's query language that is used here."""
    for key, value in wanted.items():
        if key == "$and":
            if not all(_matches(run, part) for part in value):
                return False
            continue
        own = {"sweep": run.sweep, "state": run.state}.get(key)
        if key.startswith("config."):
            own = run.config.get(key.removeprefix("config."))
        tests = value.items() if isinstance(value, dict) else [("$eq", value)]
        if not all(_COMPARED[name](own, other) for name, other in tests):
            return False
    return True
