"""Runs that are damaged, or that somebody else has written: named and left out, never executed, never raw."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ablate.__main__ import called
from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.report import tables
from ablate.report.contents import contents
from ablate.report.folder import MARKER
from ablate.report.terminal import closing
from ablate.report.terminal.markup import plain
from ablate.runs import cell, record

EVIL = "\x1b]0;owned\x07[/bold] \x9b31m"
BATCH, NONE = {"norm": "batch"}, {"norm": "none"}


@pytest.fixture
def two(run):
    """Two variants with two seeds each."""
    return [run(typed, seed, 0.9 - 0.1 * (typed is NONE)) for typed in (BATCH, NONE) for seed in (0, 1)]


def reported(tmp_path: Path, *arguments: str) -> dict:
    """comparison.json of a report of everything in `runs`."""
    called("report", [*(arguments or [str(tmp_path / "runs")]), "--out", str(tmp_path / "report")])
    return json.loads((tmp_path / "report" / "comparison.json").read_text())


def finished(made: dict) -> int:
    return sum(variant["counts"].get("finished", 0) if "counts" in variant else 0 for variant in made["variants"])


@pytest.mark.parametrize(
    ("file", "content", "left_out"),
    [
        ("run.json", b"", True),
        ("run.json", b"null", True),
        ("run.json", b'{"status": "finished"}', True),
        ("run.json", b"\xff\xfe", True),
        ("config.yaml", b"{", True),
        ("config.yaml", b"\xff", True),
        ("config.yaml", None, True),
        ("metrics.parquet", b"PAR1", False),
        ("gradient_norms.parquet", b"", False),
    ],
)
def test_one_damaged_run_is_named_and_the_others_are_reported(two, tmp_path, caplog, file, content, left_out):
    path = two[0] / file
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)
    caplog.set_level(logging.WARNING)
    made = reported(tmp_path)
    assert two[0].name in caplog.text
    assert len(find([tmp_path / "runs"])) == (3 if left_out else 4)
    assert made["variants"]


@pytest.mark.parametrize("file", ["metrics.parquet", "gradient_norms.parquet"])
def test_a_parquet_file_of_another_program_is_left_out(two, tmp_path, caplog, file):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"step": ["a"], "name": [1], "layer": [2], "depth": ["x"], "norm": [None]}), two[0] / file)
    assert reported(tmp_path)["variants"]
    assert str(two[0] / file) in caplog.text


def test_a_file_where_a_folder_is_expected_hides_no_run(two, tmp_path):
    (tmp_path / "runs" / "0123456789ab").write_text("no folder")
    assert len(find([tmp_path / "runs"])) == 4


def test_folders_named_like_partitions_add_no_columns(run, tmp_path, simulate):
    for typed in (BATCH, NONE):
        for seed in (0, 1):
            simulate(tmp_path / "epoch=20" / "name=x" / "runs", typed, seed, 0.9)
    made = reported(tmp_path, str(tmp_path / "epoch=20" / "name=x" / "runs"))
    assert made["variants"] and (tmp_path / "report" / "figures" / "curve_val_acc.svg").exists()


def test_a_training_below_such_a_folder_keeps_its_rows(prepared, tmp_path):
    chosen = prepared("trainer.max_epochs=2", f"runs_dir='{tmp_path}/epoch=20'")
    summary = cell.run(chosen)[0].summary
    assert summary == cell.run(prepared("trainer.max_epochs=2", runs="runs"))[0].summary
    assert summary["val/acc"] > 0


def test_a_path_with_an_equals_sign_is_a_path(simulate, tmp_path):
    for seed in (0, 1):
        simulate(tmp_path / "lr=0.1", BATCH, seed, 0.9)
    assert reported(tmp_path, str(tmp_path / "lr=0.1"))["variants"]
    with pytest.raises(InputError, match=r"^seed=2: no run has it\. They have 0, 1"):
        reported(tmp_path, str(tmp_path / "lr=0.1"), "seed=2")


def test_a_folder_of_the_users_own_is_left_as_it_is(two, tmp_path):
    out = tmp_path / "report"
    (out / "figures").mkdir(parents=True)
    (out / "figures" / "mine.svg").write_text("<svg>mine</svg>")
    (out / "index.html").write_text("my page")
    with pytest.raises(InputError, match=r"index\.html, which no report has made"):
        reported(tmp_path)
    assert (out / "index.html").read_text() == "my page"
    (out / "index.html").unlink()
    reported(tmp_path)
    (out / "figures" / "curve_val_acc.svg").rename(out / "figures" / "kept.svg")
    made = set((out / MARKER).read_text().split())
    assert "index.html" in made and "figures/mine.svg" not in made
    for directory in two[2:]:
        record.write(directory, replace(record.read(directory), status="failed"))
    reported(tmp_path)
    assert (out / "figures" / "mine.svg").exists() and (out / "figures" / "kept.svg").exists()
    now = set((out / MARKER).read_text().split())
    assert now < made
    assert not [name for name in made - now if (out / name).exists()], "figures of the earlier report have gone"


def test_a_report_of_an_older_version_is_written_over(two, tmp_path):
    reported(tmp_path)
    (tmp_path / "report" / MARKER).unlink()
    reported(tmp_path)
    assert (tmp_path / "report" / MARKER).exists()


def test_what_comes_from_files_reaches_the_terminal_escaped(run, tmp_path, capsys):
    for seed in (0, 1):
        run(BATCH, seed, 0.9)
        run(NONE, seed, 0.8)
    found = find([tmp_path / "runs"])
    results = [replace(result, record=replace(result.record, gradient_flow=EVIL)) for result in found]
    for result in results:
        result.record.choices["norm"] += EVIL
    tables.show(contents(from_results(results, EVIL)), EVIL)
    known = replace(results[0].record, gradient_flow=EVIL, gradient_norms={EVIL: 1.0}, name=EVIL)
    known.summary["gradient_flow/first_to_last"] = None
    closing.show(known, tmp_path, trained=False)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and "\x9b" not in shown
    assert "\\x1b]0;owned" in shown and "[/bold]" in shown
    assert plain("a\tb\n[x]") == "a\tb\n\\[x]"


@pytest.mark.parametrize("target", ["joblib.load", "torch.load", "torch.hub.load", "numpy.load", "os.system"])
def test_flow_and_report_instantiate_nothing(prepared, tmp_path, target):
    """A stranger's config.yaml, whose parts name code, read by a process that would leave a trace."""
    chosen = prepared("trainer.max_epochs=1", "norm=none")
    cell.run(chosen)
    config = yaml.safe_load((chosen.directory / "config.yaml").read_text())
    trace = tmp_path / "trace"
    first = {"os.system": "command", "torch.hub.load": "repo_or_dir"}.get(target, "file")
    for part in ("norm", "block", "stem", "shortcut", "model"):
        config[part] = {"_target_": target, first: f"touch {trace}"}
    (chosen.directory / "config.yaml").write_text(yaml.safe_dump(config))
    called("flow", [str(chosen.directory), str(tmp_path / "out.png")])
    assert (tmp_path / "out.png").stat().st_size > 10_000
    called("report", [str(chosen.directory), "--out", str(tmp_path / "report")])
    assert not trace.exists()


def test_the_command_line_writes_out_what_would_move_the_cursor(tmp_path):
    (tmp_path / "runs").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "report", f"nowhere{EVIL}"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 2 and b"\x1b" not in done.stderr and b"\\x1b]0;owned" in done.stderr
