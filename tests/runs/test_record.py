"""run.json: one reader for every version's file."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.runs import intact, record
from ablate.runs.examination import RESUMABLE, examined
from ablate.runs.record import RunRecord
from tests.simulated_runs import write_run

# As an early version wrote it: without the user's folders, the verdict, the files and a number of the format.
EARLY = {
    "fingerprint": "0123456789ab",
    "name": "norm=none",
    "status": "finished",
    "choices": {"norm": "none"},
    "overrides": ["norm=none", "seed=3"],
    "seed": 3,
    "summary": {"test/acc": 0.5},
    "cost": {"params": 10, "macs": 20, "seconds": 1.5},
    "provenance": {"data_checksum": "d1"},
    "wandb": {"id": "abc", "mode": "offline", "url": None},
    "started": "2026-01-01T00:00:00+00:00",
    "ended": "2026-01-01T00:01:00+00:00",
    "resumed": False,
    "gradient_norms": {"stem.conv": 0.25},
}


def stored(directory: Path, content: object) -> RunRecord | None:
    directory.mkdir(exist_ok=True)
    (directory / "run.json").write_text(json.dumps(content))
    return record.read(directory)


def test_what_an_early_version_wrote_is_read_with_its_gaps_filled(tmp_path):
    found = stored(tmp_path, EARLY)
    assert (found.version, found.lacking, found.unknown) == (0, (), {})
    assert (found.search_path, found.gradient_flow, found.files, found.error) == ([], None, None, None)
    assert (found.wandb.id, found.wandb.sweep) == ("abc", None)
    assert found.metrics == {"test/acc": 0.5, "cost/params": 10, "cost/macs": 20, "cost/seconds": 1.5}
    record.write(tmp_path, found)
    again = json.loads((tmp_path / "run.json").read_text())
    assert again["version"] == 1 and again.items() >= {k: v for k, v in EARLY.items() if k != "wandb"}.items()
    assert again["wandb"] == EARLY["wandb"] | {"sweep": None, "name": None, "group": None}


def test_what_a_newer_version_added_is_kept(tmp_path):
    added = {"version": 7, "energy": {"joules": 5}}
    found = stored(tmp_path, EARLY | added | {"wandb": EARLY["wandb"] | {"host": "h"}})
    record.write(tmp_path, replace(found, status="failed", error="lost"))
    again = json.loads((tmp_path / "run.json").read_text())
    assert again.items() >= added.items() and again["wandb"]["host"] == "h"
    assert (again["status"], again["error"]) == ("failed", "lost")


@pytest.mark.parametrize("key", sorted(record.ALWAYS))
@pytest.mark.parametrize("is_there", [True, False])
def test_a_record_without_what_every_record_has_is_no_whole_run(tmp_path, key, is_there):
    torn = {name: value for name, value in EARLY.items() if name != key} | ({key: None} if is_there else {})
    found = stored(tmp_path, torn)
    assert found.lacking == (key,)
    assert f"run.json lacks {key}" in intact.faults(tmp_path, found, thorough=False)
    with pytest.raises(InputError, match=r"is not a whole run: its run\.json is damaged"):
        find([tmp_path])
    record.write(tmp_path, found)
    assert record.read(tmp_path).lacking == (key,), "written again, it is no more whole than before"


@pytest.mark.parametrize("content", [None, [], {}, {"status": 3}, "text"])
def test_what_is_no_record_is_none(tmp_path, content):
    assert stored(tmp_path, content) is None


def test_numbers_that_json_lacks_become_null(tmp_path):
    record.write(tmp_path, replace(RunRecord.of(EARLY), summary={"val/loss": float("nan"), "lr": float("inf")}))
    assert record.read(tmp_path).summary == {"val/loss": None, "lr": None}


@pytest.mark.parametrize(("max_epochs", "status"), [(8, "interrupted"), (4, "finished")])
def test_a_run_that_max_time_cut_short_is_no_result_for_anyone(tmp_path, max_epochs, status):
    """Older versions called it finished. It has four epochs."""
    typed = {"norm": "none", "trainer.max_epochs": max_epochs, "trainer.max_time": "00:00:00:10"}
    directory = write_run(tmp_path, typed, 0, 0.8, epochs=4)
    found = record.read(directory)
    assert found.status == status and found.is_result == (status == "finished")
    (result,) = find([directory])
    assert result.record == found
    (seen,) = examined([directory])
    assert (seen.state == RESUMABLE) == (status == "interrupted")


def test_reading_imports_no_torch(tmp_path):
    stored(tmp_path, EARLY)
    program = (
        "import sys; from pathlib import Path; from ablate.runs import record;"
        f"print(record.read(Path({str(tmp_path)!r})).name, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["norm=none", "False"], run.stderr
