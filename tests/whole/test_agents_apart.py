"""Agents on machines without a common disk: a report of W&B's runs is the report of all their folders. 60 s."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ablate.configuration.composition import Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
from tests.tracker_server import PROJECT, TrackerServer
from tests.wandb_server import ENTITY

SWEEP = {
    "program": "ablate",
    "command": ["${env}", "python", "-m", "ablate", "${args_json}"],
    "method": "grid",
    "parameters": {
        "norm": {"values": ["batch", "none"]},
        "optimizer.lr": {"values": [0.1, 0.02]},
        "seed": {"values": [0, 1]},
        "model": {"parameters": {"stages": {"value": [1, 1, 1]}, "widths": {"value": [4, 8, 8]}}},
        "data.batch_size": {"value": 128},
        "trainer.max_epochs": {"value": 1},
        "trainer": {"value": "cpu"},
        "threads": {"value": 1},
        "gradient_norms.pictures": {"value": False},
    },
}


@pytest.mark.long
def test_a_report_from_a_third_folder_is_that_of_both_run_stores(tmp_path):
    programs = Path(sys.executable).parent
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    folders = [tmp_path / name for name in ("one", "two", "third")]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "sweep.yaml").write_text(yaml.safe_dump(SWEEP, sort_keys=False))
    with TrackerServer() as server:
        environment = clean | server.environment | {"PATH": f"{programs}{os.pathsep}{clean['PATH']}"}
        environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}

        def command(folder: Path, *words: str) -> subprocess.Popen[str]:
            pipe = subprocess.PIPE
            return subprocess.Popen(words, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)

        def ended(process: subprocess.Popen[str]) -> str:
            said, complaint = process.communicate(timeout=400)
            assert process.returncode == 0, said + complaint
            return said

        ended(command(folders[0], "wandb", "sweep", "--project", PROJECT, "sweep.yaml"))
        (sweep,) = server.sweeps
        agents = [command(folder, "wandb", "agent", f"{ENTITY}/{PROJECT}/{sweep}") for folder in folders[:2]]
        for agent in agents:
            ended(agent)
        stores = [folder / "runs" for folder in folders[:2]]
        assert all(len(list(store.glob("*/run.json"))) >= 1 for store in stores)
        assert sum(len(list(store.glob("*/run.json"))) for store in stores) == len(server.received) == 8

        def reported(*names: str) -> dict:
            report = [sys.executable, "-m", "ablate", "report", *names, "--json"]
            return json.loads(ended(command(folders[2], *report)))

        apart, together = reported(f"wandb:{ENTITY}/{PROJECT}/{sweep}"), reported(*map(str, stores))
        assert not server.unknown, set(server.unknown)
    alike(apart, together)


def alike(apart: dict, together: dict) -> None:
    """The same answer, figures, verdicts and circumstances, and commands that train the same. Where runs lie is another
    matter."""
    register_resolvers()
    for key in together.keys() - {"notes", "source", "variants"}:
        assert apart[key] == together[key], key
    assert len(apart["effects"]) == 3, "both choices, and their interaction"
    for ours, theirs in zip(apart["variants"], together["variants"], strict=True):
        for key in theirs.keys() - {"command", "runs"}:
            assert ours[key] == theirs[key], (ours["label"], key)
        assert trained(ours["command"]) == trained(theirs["command"])
        for run, stored in zip(ours["runs"], theirs["runs"], strict=True):
            for key in stored.keys() - {"directory", "superseded"}:
                assert run[key] == stored[key], (ours["label"], key)


def trained(command: str) -> str:
    """The fingerprint of what a command trains, with one seed."""
    typed = [word for word in shlex.split(command) if "=" in word and not word.startswith("seed=")]
    return fingerprint(Composition.of([*typed, "seed=0"]).checked())
