"""`python -m tests.bench.bench_agent`: the bench's sweep against the same cells given to one `wandb agent`.

The agent asks the tests' own server on the loopback, which answers at once; its runs are offline as the sweep's.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ablate.bench import paired, sweep
from ablate.configuration.resolvers import register_resolvers
from tests.wandb_server import ENTITY, WandbServer

COMMAND = ["${env}", "python", "-m", "ablate", "${args_json}"]


def by_agent() -> float:
    """Seconds of `wandb agent` for all cells."""
    programs = Path(sys.executable).parent
    with WandbServer() as server, tempfile.TemporaryDirectory() as folder:
        name = server.add(sweep.CELLS | {"command": COMMAND})
        path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        agent = [programs / "wandb", "agent", f"{ENTITY}/bench/{name}"]

        def run() -> None:
            environment = os.environ | server.environment | path
            subprocess.run(agent, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)

        seconds = paired.seconds(run)
        assert len(list(Path(folder).glob("runs/*/run.json"))) == len(server.runs) == 16
        return seconds


def main() -> None:
    register_resolvers()
    found = paired.in_turns({"sweep": lambda: sweep.by_sweep([]).wall, "agent": by_agent}, sweep.ROUNDS)
    print(json.dumps({**found, "ratio": [a / b for a, b in zip(found["sweep"], found["agent"], strict=True)]}))


if __name__ == "__main__":
    main()
