"""Under what a result came about: the state of the code."""

import subprocess
from pathlib import Path

import pytest

from ablate.runs import provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A repository with the layout of this one, from which the package is run."""
    for name in ("ablate/__init__.py", "ablate/runs/__init__.py", "ablate/training/run.py", "conf/norm/batch.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first: 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "ablate" / "runs" / "provenance.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "dirty"), [("ablate/training/run.py", True), ("conf/norm/batch.yaml", True), ("notes.txt", False)]
)
def test_changed_code_and_options_are_told(checkout, changed, dirty):
    clean = {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    assert provenance.provenance("data")["git"] == clean
    (checkout / changed).write_text("first: 2\n")
    assert provenance.provenance("data")["git"] == clean | {"dirty": dirty}


def test_a_package_that_somebody_elses_repository_does_not_track_has_no_commit(checkout):
    git(checkout, "rm", "-r", "-q", "--cached", "ablate")
    assert provenance.provenance("data")["git"] is None
