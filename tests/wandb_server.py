"""A stand-in for W&B's server on the loopback: what `wandb sweep` and `wandb agent` ask of it, answered as it does.

It plans grids only. The agents' runs are expected to be offline (WANDB_MODE): nothing of theirs is received. What is
asked that it does not know is answered by an error and remembered in `unknown`.
"""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.loopback import Loopback, operation

ENTITY = "tester"


@dataclass
class Run:
    """A cell that an agent was given."""

    name: str
    config: dict[str, Any]
    agent: str
    ended: bool = False


@dataclass
class Sweep:
    config: dict[str, Any]
    cells: list[dict[str, Any]]
    runs: dict[str, Run] = field(default_factory=dict)


class WandbServer(Loopback):
    """What plans sweeps and is asked by agents.

    add(config)  is what `wandb sweep` does
    stop(name)   has the agent stop this run at its next heartbeat
    """

    def __init__(self) -> None:
        super().__init__()
        self.sweeps: dict[str, Sweep] = {}
        self.agents: dict[str, str] = {}  # agent: sweep
        self.operations: list[str] = []
        self._stopping: set[str] = set()

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"WANDB_MODE": "offline"}

    @property
    def runs(self) -> list[Run]:
        with self.lock:
            return [run for sweep in self.sweeps.values() for run in sweep.runs.values()]

    def add(self, config: dict[str, Any]) -> str:
        """A new sweep, as `wandb sweep` makes one; its name."""
        name = f"sweep{len(self.sweeps)}"
        self.sweeps[name] = Sweep(config, cells_of(config["parameters"]))
        return name

    def stop(self, name: str) -> None:
        with self.lock:
            self._stopping.add(name)

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        name = operation(request.get("query", ""))
        self.operations.append(name)
        known = {
            "Viewer": self._viewer,
            "UpsertSweep": self._upsert_sweep,
            "SweepWithRuns": self._sweep_with_runs,
            "CreateAgent": self._create_agent,
            "Heartbeat": self._heartbeat,
        }
        if name not in known:
            return self.not_known(name)
        return {"data": known[name](request.get("variables") or {})}

    def _viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        return {
            "viewer": {
                "id": "1",
                "entity": ENTITY,
                "username": ENTITY,
                "email": "",
                "flags": "{}",
                "teams": teams,
            }
        }

    def _upsert_sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = self.add(yaml.safe_load(variables["config"]))
        project = {"id": "1", "name": variables["projectName"], "entity": {"id": "1", "name": ENTITY}}
        return {"upsertSweep": {"sweep": {"name": name, "project": project}, "configValidationWarnings": []}}

    def _sweep_with_runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[variables["sweep"]]
        return {
            "project": {
                "sweep": {
                    "id": variables["sweep"],
                    "name": variables["sweep"],
                    "config": yaml.safe_dump(sweep.config),
                    "runs": {"edges": []},
                }
            }
        }

    def _create_agent(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = f"agent{len(self.agents)}"
        self.agents[name] = variables["sweep"]
        return {"createAgent": {"agent": {"id": name}}}

    def _heartbeat(self, variables: dict[str, Any]) -> dict[str, Any]:
        """One run at a time: what it is given ends before the next; `stop` is repeated until it has; then `exit`."""
        agent, running = variables["id"], json.loads(variables["runState"])
        sweep = self.sweeps[self.agents[agent]]
        for run in sweep.runs.values():
            if run.agent == agent and run.name not in running:
                run.ended = True
        commands: list[dict[str, Any]]
        if running:
            commands = [{"type": "stop", "run_id": name} for name in running if name in self._stopping]
        elif sweep.cells:
            name = f"run{sum(len(known.runs) for known in self.sweeps.values())}"
            sweep.runs[name] = Run(name, sweep.cells.pop(0), agent)
            args = {key: {"value": value} for key, value in sweep.runs[name].config.items()}
            commands = [{"type": "run", "run_id": name, "program": sweep.config.get("program"), "args": args}]
        else:
            commands = [{"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": agent}, "commands": json.dumps(commands)}}


def cells_of(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Every cell of a grid, nested `parameters` as nested mappings."""
    values = {name: choices(spec) for name, spec in parameters.items()}
    return [dict(zip(values, choice, strict=True)) for choice in itertools.product(*values.values())]


def choices(spec: dict[str, Any]) -> list[Any]:
    if "parameters" in spec:
        return list(cells_of(spec["parameters"]))
    return spec["values"] if "values" in spec else [spec["value"]]
