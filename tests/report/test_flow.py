"""Heat maps of several runs: the command."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.__main__ import called
from ablate.errors import InputError
from ablate.report import flow
from ablate.runs import cell, record


def test_runs_of_different_depth_side_by_side(prepared, tmp_path):
    runs = []
    for stages in ("[1,1,1]", "[2,2,2]"):
        norm = "norm=batch" if stages == "[1,1,1]" else "norm=none"
        chosen = prepared(f"model.stages={stages}", norm, "trainer.max_epochs=1")
        cell.run(chosen)
        runs.append(str(chosen.directory))
    config = Path(runs[0]) / "config.yaml"
    config.write_text(config.read_text().replace("padding: both\n", ""))  # as an older version wrote it
    out = tmp_path / "flow.png"
    called("flow", [*runs, str(out)])
    assert out.read_bytes()[:4] == b"\x89PNG"
    records = [record.read(Path(run)) for run in runs]
    verdicts = [found.gradient_flow for found in records]
    assert flow._titles(records) == [f"norm=batch: {verdicts[0]}", f"norm=none: {verdicts[1]}"]
    same = [replace(found, choices=records[0].choices) for found in records]
    assert flow._titles(same) == [f"{r.fingerprint}: {v}" for r, v in zip(records, verdicts, strict=True)]


@pytest.mark.parametrize("arguments", [[], ["x.png"], ["runs/none"], ["runs/none", "x.png"]])
def test_what_is_no_run_is_refused_with_one_message(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, SystemExit)):
        called("flow", arguments)
    assert not (tmp_path / "x.png").exists()


def test_a_run_without_records_is_refused(prepared, tmp_path):
    chosen = prepared("gradient_norms.every_n_steps=0", "trainer.max_epochs=1")
    cell.run(chosen)
    with pytest.raises(InputError, match="every_n_steps=0"):
        called("flow", [str(chosen.directory), str(tmp_path / "x.png")])
    with pytest.raises(InputError, match=f"there is no folder {tmp_path / 'nowhere'}"):
        called("flow", [str(chosen.directory), str(tmp_path / "nowhere" / "x.png")])  # before any run is looked at


def test_the_command_line_refuses_it_with_exit_code_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "flow", "nowhere", "x.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("ablate: nowhere") and len(done.stderr.splitlines()) == 1
