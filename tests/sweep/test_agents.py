"""`wandb sweep` and `wandb agent`, the real commands, against a server of ours on the loopback."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from tests.wandb_files import offline_run
from tests.wandb_server import WandbServer

QUICK = Path(__file__).parents[2] / "sweeps" / "quick.yaml"
# Of lists and mappings too, which only `${args_json}` carries.
SMALL = {
    "model": {"parameters": {"stages": {"value": [1, 1, 1]}, "widths": {"value": [4, 8, 8]}}},
    "data.batch_size": {"value": 128},
    "trainer": {"value": "cpu"},
    "threads": {"value": 1},
    "gradient_norms.pictures": {"value": False},
}


@pytest.fixture(scope="module")
def server():
    with WandbServer() as server:
        yield server
    assert server.unknown == []


@pytest.fixture(scope="module")
def wandb(server) -> Callable[..., subprocess.Popen[str]]:
    """wandb(folder, "agent", …): the command, started in that folder."""
    programs = Path(sys.executable).parent
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment = clean | server.environment | {"PATH": f"{programs}{os.pathsep}{clean['PATH']}"}

    def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        command = [programs / "wandb", *arguments]
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start


def finished(process: subprocess.Popen[str]) -> str:
    """What it has said, once it has ended well."""
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return said


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/run.json"))]


def sweep_of(parameters: dict) -> dict:
    quick = yaml.safe_load(QUICK.read_text())
    return quick | {"parameters": SMALL | {"trainer.max_epochs": {"value": 1}} | parameters}


def waited_for(condition: Callable[[], object]) -> None:
    for _ in range(1800):
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError


@pytest.fixture(scope="module")
def grid(tmp_path_factory, server, wandb, request) -> tuple[Path, str]:
    """The eight cells of quick.yaml, smaller, trained by two agents at once; where, and the sweep's name.

    Those of one seed and shortcut, one for each agent, where there is no time for --long.
    """
    folder = tmp_path_factory.mktemp("grid")
    quick = yaml.safe_load(QUICK.read_text())
    few = {"seed": {"values": [1]}, "shortcut": {"values": ["projection"]}}
    some = {} if request.config.getoption("--long") else few
    sweep = sweep_of(quick["parameters"] | some | {"trainer.max_epochs": {"value": 1}})
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    said = finished(wandb(folder, "sweep", "--project", "ours", "sweep.yaml"))
    (name,) = server.sweeps
    assert f"wandb agent tester/ours/{name}" in said
    agents = [wandb(folder, "agent", f"tester/ours/{name}") for _ in range(2)]
    for agent in agents:
        finished(agent)
    return folder, name


def test_two_agents_train_every_cell_once(server, grid, request):
    folder, sweep = grid
    runs = server.sweeps[sweep].runs
    cells = 8 if request.config.getoption("--long") else 2
    assert len(runs) == cells and len({run.agent for run in runs.values()}) == 2
    found = records(folder)
    assert [run["status"] for run in found] == ["finished"] * cells
    assert {run["wandb"]["id"] for run in found} == set(runs)
    assert {run["wandb"]["sweep"] for run in found} == {sweep}
    for run in found:
        asked = runs[run["wandb"]["id"]].config
        assert asked.items() >= {axis: run["choices"][axis] for axis in ("shortcut", "norm")}.items()
        assert asked["seed"] == run["seed"]
        trained = yaml.safe_load((folder / "runs" / run["fingerprint"] / "config.yaml").read_text())
        assert trained["model"] == asked["model"] and trained["data"]["batch_size"] == 128
    assert len({json.dumps([run["choices"], run["seed"]]) for run in found}) == cells


def test_the_server_finds_the_sweeps_parameters_and_the_whole_configuration(server, grid):
    """Of a grid, it counts as done what it finds under the parameters' own names."""
    folder, sweep = grid
    runs = server.sweeps[sweep].runs
    for run in records(folder):
        logged = offline_run(folder / "runs" / run["fingerprint"])
        assert (logged["id"], logged["sweep"], logged["project"]) == (run["wandb"]["id"], run["wandb"]["sweep"], "ours")
        asked = runs[logged["id"]].config
        assert {name: logged["config"][name] for name in asked} == asked
        trained = yaml.safe_load((folder / "runs" / run["fingerprint"] / "config.yaml").read_text())
        assert logged["config"]["recipe"] == trained
        assert logged["config"]["choices"] == run["choices"]
        assert set(logged["config"]) == {*asked, "choices", "recipe", "provenance", "_wandb"}
        assert logged["tags"] == [sweep, "digits"] and logged["name"] == f"{logged['group']} seed={run['seed']}"
        assert logged["exit_code"] == 0 and logged["summary"]["status"] == "finished"


@pytest.mark.long
def test_a_cell_that_has_a_result_reports_it_and_is_not_trained_again(grid, server, wandb):
    folder, _ = grid
    before = contents(folder)
    fixed = {"shortcut": {"value": "projection"}, "norm": {"value": "none"}, "seed": {"value": 1}}
    sweep = server.add(sweep_of(fixed))
    said = finished(wandb(folder, "agent", f"tester/ours/{sweep}"))
    assert "not trained again" in said and "reported to W&B as the run" in said
    assert contents(folder) == before
    (stored,) = (
        run
        for run in records(folder)
        if (run["choices"]["shortcut"], run["choices"]["norm"], run["seed"]) == ("projection", "none", 1)
    )
    directory = folder / "runs" / stored["fingerprint"]
    first, again = offline_run(directory, stored["wandb"]["id"]), offline_run(directory, "run8")
    assert again["sweep"] == sweep and again["exit_code"] == 0
    assert again["summary"].items() >= {**stored["summary"], "status": "finished"}.items()
    assert again["summary"].get("gradient_flow/verdict") == stored["gradient_flow"]
    for name in ("val/acc", "test/acc"):
        assert points(again, name) == points(first, name) != []
    losses = pq.read_table(directory / "metrics.parquet", filters=[("name", "=", "train/loss_step")])
    assert [loss for _, loss in points(again, "train/loss_step")] == losses["value"].to_pylist()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.glob("runs/*/*") if path.is_file()}


def points(run: dict, name: str) -> list[tuple[int, float]]:
    return [(row["trainer/global_step"], row[name]) for row in run["history"] if name in row]


@pytest.mark.long
def test_variants_are_the_same_cells_for_an_agent_and_for_a_plan(tmp_path, server, wandb):
    """One change at a time: the file goes to W&B as it is."""
    sweep = sweep_of({"variant": {"values": ["", "norm=none activation=gelu"]}, "seed": {"value": 1}})
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    finished(wandb(tmp_path, "sweep", "--project", "ours", "sweep.yaml"))
    (name, *_) = reversed(server.sweeps)
    finished(wandb(tmp_path, "agent", f"tester/ours/{name}"))
    register_resolvers()
    cells = plan(SweepFile.read(tmp_path / "sweep.yaml"), [f"runs_dir={tmp_path / 'runs'}"])
    assert [cell.status for cell in cells] == ["finished", "finished"]
    assert {run["fingerprint"] for run in records(tmp_path)} == {cell.fingerprint for cell in cells}
    for run in records(tmp_path):  # W&B counts a cell of its grid as done by the parameter's own name
        logged = offline_run(tmp_path / "runs" / run["fingerprint"])
        assert logged["config"]["variant"] == server.sweeps[name].runs[logged["id"]].config["variant"]


AWKWARD = """
shortcut: {value: none}
optimizer: {parameters: {lr: {value: 1e-4}, weight_decay: {value: 0.5}}}
compile: {value: null}
tracking.name: {value: "é {x: [y]}, a=b 'c' \\"d\\" $5 \\\\"}
tracking.tags: {value: ["a, b", "null", "c=d"]}
tracking.group: {value: ""}
checkpoint: {value: {every_n_epochs: 1, every_n_steps: null}}
+trainer.limit_val_batches: {value: 1.0}
trainer.max_epochs: {value: 100000}
"""


def test_a_stop_from_the_server_saves_the_run_and_awkward_values_arrive(tmp_path, server, wandb):
    sweep = server.add(sweep_of(yaml.safe_load(AWKWARD)) | {"command": EXIT_CODES})
    (tmp_path / "exit_codes.py").write_text(EXIT_CODES_PY)
    agent = wandb(tmp_path, "agent", f"tester/ours/{sweep}")
    waited_for(lambda: agent.poll() is not None or list(tmp_path.glob("runs/*/checkpoints/step-*.ckpt")))
    (name,) = server.sweeps[sweep].runs
    server.stop(name)
    said = finished(agent)
    assert "state saved" in said
    (run,) = records(tmp_path)
    assert run["status"] == "interrupted" and run["wandb"]["id"] == name
    directory = tmp_path / "runs" / run["fingerprint"]
    assert list((directory / "checkpoints").glob("step-*.ckpt"))
    assert (tmp_path / "exit_codes").read_text() == "143\n"
    assert offline_run(directory)["exit_code"] == 1

    trained = yaml.safe_load((directory / "config.yaml").read_text())
    assert run["choices"]["shortcut"] == "none"
    assert (trained["optimizer"]["lr"], trained["optimizer"]["weight_decay"]) == (1e-4, 0.5)
    assert trained["compile"] is None and trained["checkpoint"] == {"every_n_epochs": 1, "every_n_steps": None}
    assert trained["tracking"]["name"] == "é {x: [y]}, a=b 'c' \"d\" $5 \\"
    assert trained["tracking"]["tags"] == ["a, b", "null", "c=d"] and trained["tracking"]["group"] == ""
    assert trained["trainer"]["limit_val_batches"] == 1.0


# The command line in a process that writes its exit code down: agents do not say it.
EXIT_CODES = ["${env}", "python", "exit_codes.py", "${args_json}"]
EXIT_CODES_PY = """
from ablate.__main__ import main
try:
    main()
except SystemExit as end:
    open("exit_codes", "a").write(f"{end.code}\\n")
    raise
"""


@pytest.mark.long
def test_a_diverged_run_is_a_result_and_an_invalid_cell_is_none(tmp_path, server, wandb):
    cells = {"optimizer.lr": {"values": [1e30, -1.0, 0.1]}}
    sweep = server.add(sweep_of(cells) | {"command": EXIT_CODES})
    (tmp_path / "exit_codes.py").write_text(EXIT_CODES_PY)
    finished(wandb(tmp_path, "agent", f"tester/ours/{sweep}"))
    assert (tmp_path / "exit_codes").read_text().split() == ["0", "2", "0"]
    assert sorted(run["status"] for run in records(tmp_path)) == ["diverged", "finished"]


@pytest.mark.long
def test_another_agent_goes_on_with_an_interrupted_run_under_its_own_id(tmp_path, server, wandb):
    cells = {"trainer.max_epochs": {"value": 30}}
    agent = wandb(tmp_path, "agent", f"tester/ours/{server.add(sweep_of(cells))}")
    waited_for(lambda: agent.poll() is not None or list(tmp_path.glob("runs/*/checkpoints/step-*.ckpt")))
    (first,) = [run.name for run in server.runs if not run.ended]
    server.stop(first)
    finished(agent)
    assert records(tmp_path)[0]["status"] == "interrupted"
    sweep = server.add(sweep_of(cells))
    finished(wandb(tmp_path, "agent", f"tester/ours/{sweep}"))
    (run,) = records(tmp_path)
    assert run["status"] == "finished" and run["resumed"]
    assert run["wandb"]["id"] != first and run["wandb"]["sweep"] == sweep
