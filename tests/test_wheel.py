"""The wheel holds all that a run needs, wherever it is installed."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "trainer.max_epochs=1", "threads=1"]
# As the console script, and sure to be the installed package.
PROGRAM = """
import sys
import ablate
assert ablate.__file__.startswith(sys.argv.pop(1)), ablate.__file__
from ablate.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel, built from the working tree, is unpacked into."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "built")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "built").glob("ablate_resnet-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def files(folder: Path, pattern: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern)}


def test_configuration_sweeps_and_code_travel_inside(installed):
    package = installed / "ablate"
    assert files(package / "conf", "*.yaml") == files(ROOT / "conf", "*.yaml")
    assert files(package / "sweeps", "*.yaml") == files(ROOT / "sweeps", "*.yaml")
    assert files(package, "*.py") == files(ROOT / "ablate", "*.py")
    (scripts,) = installed.glob("*.dist-info/entry_points.txt")
    assert "ablate = ablate.__main__:main" in scripts.read_text()


def test_it_trains_from_any_folder(installed, tmp_path):
    trained = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(installed), "tracking=disabled", *SMALL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert trained.returncode == 0, trained.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json"))
    assert record["status"] == "finished"
    assert record["provenance"]["git"] is None  # the package is in nobody's repository
