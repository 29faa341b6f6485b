"""Each folder of examples/ does what its README.md says: the commands in it are run, in a copy."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from ablate import __main__
from tests import process

ROOT = Path(__file__).parents[2]
SHORT = (
    *("trainer.max_epochs=1", "+trainer.limit_train_batches=4", "threads=1"),
    *("gradient_norms.pictures=false", "tracking=disabled"),
)
EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())


def commands(folder: Path) -> list[list[str]]:
    """The words after `python` of each command."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    start = "    PYTHONPATH=. python "
    return [shlex.split(line.removeprefix(start)) for line in lines if line.startswith(start)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_commands_run(name, tmp_path, monkeypatch):
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    said = commands(folder)
    assert {"sweep", "report"} < {words[2] for words in said}
    for words in said:
        if words[2] in __main__.ON_CONFIGURATION:
            run_by_itself(words)
        else:
            here = ["hydra/launcher=basic"] if words[2] == "sweep" else []  # worker processes take seconds to start
            assert __main__._run([*words[2:], *SHORT, *here]) == 0
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "<html" in page and (folder / "report" / "comparison.json").exists()


def run_by_itself(words: list[str]) -> None:
    """Hydra's own commands, which change the process they run in."""
    done = process.run(
        [sys.executable, *words, "threads=1"], env=os.environ | {"PYTHONPATH": "."}, text=True, timeout=300
    )
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    if "check" in words:
        assert {line[:3] for line in done.stdout.splitlines()[:-1]} == {"yes"}


def test_a_plan_knows_what_a_loss_measures(monkeypatch, capsys):
    """val/mae, which loss=mse brings with it."""
    monkeypatch.chdir(ROOT / "examples" / "own_data")
    monkeypatch.syspath_prepend(".")
    words = ["plan", "--json", "sweep.yaml", "--config-dir", "my_conf", f"runs_dir={Path.cwd().anchor}nowhere"]
    assert __main__._run(words) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []
