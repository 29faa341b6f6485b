"""A stored run answers for the user's code and data: changed ones are told, never the old number."""

import json
import os
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.report.notes import notes
from ablate.report.terminal import plan_table
from ablate.runs import cell, record
from ablate.runs.origin import Here
from ablate.runs.record import RunRecord
from ablate.sweep.execution import to_run
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import FAILED, OUTDATED, TO_DO, plan
from ablate.training.images import memory
from ablate.training.saving.stopping import Stopping

NET = """
import torch.nn.functional as F
from torch import nn

from . import scale as factors


class Blurred(nn.Module):
    def __init__(self, in_channels, out_channels, stride, norm, parts):
        super().__init__()
        self.stride, self.new_channels = stride, out_channels - in_channels

    def forward(self, x, h):
        x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return factors.FACTOR * F.pad(x, (0, 0, 0, 0, 0, self.new_channels))
"""
DATA = """
from pathlib import Path

import numpy as np
import torch

from ablate.training.sources import Source


def arrays(root):
    images, labels = (torch.from_numpy(np.load(Path(root) / name)) for name in ("X.npy", "y.npy"))
    return Source(images[:200], labels[:200], images[200:], labels[200:])
"""
SHORTCUT = {
    "_target_": "ablate.design.shortcut.Shortcut",
    "same": {"_target_": "ablate.design.shortcut.Identity", "_partial_": True},
    "changed": {"_target_": "their_lab.nets.Blurred", "_partial_": True},
    "join": {"_target_": "ablate.design.shortcut.Sum", "_partial_": True},
}


class Lab:
    """A user's folder: a package, a data function, arrays that it reads, and options that name them."""

    def __init__(self, folder: Path, prepared: Callable[..., cell.Cell]) -> None:
        self.folder, self._prepared = folder, prepared
        for name, text in (
            ("their_lab/__init__.py", ""),
            ("their_lab/nets.py", NET),
            ("their_lab/scale.py", "FACTOR = 1.0\n"),
            ("their_data.py", DATA),
            ("conf/shortcut/blurred.yaml", yaml.safe_dump(SHORTCUT)),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        random = np.random.default_rng(0)
        np.save(folder / "X.npy", random.integers(256, size=(260, 1, 8, 8), dtype=np.uint8))
        np.save(folder / "y.npy", np.arange(260) % 10)

    @property
    def overrides(self) -> list[str]:
        return [
            f"hydra.searchpath=[file://{self.folder}/conf]",
            "shortcut=blurred",
            "data.source={_target_: their_data.arrays, _partial_: true}",
            "~data.source.test_fraction",
            "~data.source.split_seed",
            f"data.root={self.folder}",
            "data.batch_size=64",
            "trainer.max_epochs=2",
        ]

    def cell(self, *more: str) -> cell.Cell:
        """Prepared as by a new process."""
        forget_modules()
        return self._prepared(*self.overrides, *more)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def plan(self, *more: str) -> list[Any]:
        forget_modules()
        file = self.folder / "sweep.yaml"
        file.write_text(yaml.safe_dump({"method": "grid", "parameters": {"seed": {"values": [0, 1]}}}))
        small = [text for text in self.cell().composition.overrides if text not in self.overrides]
        return plan(SweepFile.read(file), [*small, *self.overrides, *more], here=Here())


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith("their_")]:
        del sys.modules[name]
    memory.forget()


@pytest.fixture
def lab(tmp_path, prepared, monkeypatch) -> Iterator[Lab]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within the same second has the same time
    yield Lab(tmp_path, prepared)
    forget_modules()


def edit_forward(lab: Lab) -> None:
    lab.edit("their_lab/nets.py", "x = F.avg", "x = 0.5 * F.avg")


def edit_imported(lab: Lab) -> None:
    lab.edit("their_lab/scale.py", "1.0", "0.5")


def edit_function(lab: Lab) -> None:
    lab.edit("their_data.py", "Source(images[:200]", "Source(255 - images[:200]")


def edit_arrays(lab: Lab) -> None:
    images = np.load(lab.folder / "X.npy")
    images[3] = 0
    np.save(lab.folder / "X.npy", images)


EDITS = {
    "forward": (edit_forward, r"their_lab/nets\.py changed\. rerun=true"),
    "imported": (edit_imported, r"their_lab/scale\.py changed\. rerun=true"),
    "function": (
        edit_function,
        r"their_data\.py changed; the data changed \(checksum \w+ then, \w+ now\)\. rerun=true",
    ),
    "arrays": (edit_arrays, r"trained, the data changed \(checksum \w+ then, \w+ now\)\. rerun=true"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_result_of_other_code_or_data_is_refused_and_trained_again_on_request(lab, name):
    edit, says = EDITS[name]
    first, trained = cell.run(lab.cell())
    assert trained and cell.run(lab.cell()) == (first, False)
    edit(lab)
    with pytest.raises(InputError, match=says):
        cell.run(lab.cell())
    assert record.read(lab.cell().directory) == first
    again, trained = cell.run(lab.cell("rerun=true"))
    assert trained and not again.resumed
    assert again.summary["train/loss"] != first.summary["train/loss"], "the edit had no effect"
    assert cell.run(lab.cell()) == (again, False)
    assert len(list((lab.folder / "runs" / ".replaced").iterdir())) == 1


def test_what_changes_no_result_makes_none_outdated(lab):
    known, _ = cell.run(lab.cell())
    lab.edit("their_lab/nets.py", "import torch", "# Of layers.\n\nimport torch")
    lab.edit("their_lab/nets.py", "ceil_mode=True)", "ceil_mode=True)  # as in the paper")
    (lab.folder / "their_lab" / "not_imported.py").write_text("x = 1\n")
    os.utime(lab.folder / "X.npy")
    assert cell.run(lab.cell()) == (known, False)
    assert [planned.status for planned in lab.plan()] == ["finished", TO_DO]


def test_a_string_that_looks_like_a_comment_counts(lab):
    lab.edit("their_lab/scale.py", "1.0", 'len("""\n# one\n""") / 7')
    cell.run(lab.cell())
    lab.edit("their_lab/scale.py", "# one", "# ones")
    with pytest.raises(InputError, match=r"scale\.py changed"):
        cell.run(lab.cell())


def test_a_plan_shows_what_is_outdated_and_leaves_it_alone_until_asked(lab, capsys):
    cell.run(lab.cell("seed=0"))
    edit_forward(lab)
    outdated, to_do = lab.plan()
    assert (outdated.status, outdated.reason, to_do.status) == (OUTDATED, "their_lab/nets.py changed", TO_DO)
    assert outdated.params == to_do.params
    plan_table.show(SweepFile.read(lab.folder / "sweep.yaml"), [outdated, to_do], as_json=False, every=False)
    shown = capsys.readouterr().out
    assert "seed=0: their_lab/nets.py changed since" in shown and "1 outdated, 1 to do" in shown
    assert to_run([outdated, to_do], retry_failed=False) == [to_do]
    assert to_run([outdated, to_do], retry_failed=False, rerun_outdated=True) == [outdated]
    assert outdated.overrides[-1] == "rerun=true"
    assert [planned.status for planned in to_run(lab.plan("rerun=true"), retry_failed=False)] == ["finished", TO_DO]


def test_an_interrupted_run_is_not_resumed_with_other_code(lab, monkeypatch):
    def stopped(self, trainer):  # type: ignore[no-untyped-def]
        return signal.SIGTERM if trainer.global_step == 2 else None

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Stopping, "asked", stopped)
        cell.run(lab.cell("seed=0"))
    edit_forward(lab)
    assert [planned.status for planned in lab.plan()] == [OUTDATED, TO_DO]
    with pytest.raises(InputError, match=r"run began, their_lab/nets\.py changed\. rerun=true starts"):
        cell.run(lab.cell())
    lab.edit("their_lab/nets.py", "x = 0.5 * F.avg", "x = F.avg")
    assert cell.run(lab.cell())[0].resumed


def test_a_failed_run_without_checkpoints_is_tried_with_mended_code(lab):
    lab.edit(
        "their_lab/nets.py",
        "return factors",
        "assert self.stride < 2 or x.device.type == 'meta'\n        return factors",
    )
    with pytest.raises(AssertionError):
        cell.run(lab.cell("seed=0"))
    lab.edit("their_lab/nets.py", "assert self.stride < 2 or x.device.type == 'meta'", "pass")
    assert lab.plan()[0].status == FAILED
    assert cell.run(lab.cell("seed=0"))[0].status == "finished"


def as_older_versions_wrote(directory: Path) -> RunRecord:
    known = record.read(directory)
    assert known is not None
    for key in ("code", "data_files"):
        del known.provenance[key]
    record.write(directory, known)
    return known


def test_records_of_before_are_taken_as_they_are(lab, monkeypatch):
    cell.run(lab.cell("seed=0"))
    older = as_older_versions_wrote(lab.cell().directory)
    edit_forward(lab)
    assert cell.run(lab.cell()) == (older, False)
    assert lab.plan()[0].status == "finished"

    def stopped(self, trainer):  # type: ignore[no-untyped-def]
        return signal.SIGTERM if trainer.global_step == 2 else None

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Stopping, "asked", stopped)
        cell.run(lab.cell("seed=1"))
    as_older_versions_wrote(lab.cell("seed=1").directory)
    resumed, _ = cell.run(lab.cell("seed=1"))
    assert resumed.resumed and not {"code", "data_files"} & set(resumed.provenance)


def test_a_report_warns_of_what_is_outdated(lab):
    cell.run(lab.cell())
    fresh = from_results(find([lab.folder / "runs"]), "runs")
    assert fresh.baseline.confounds == [] and not any("utdated" in note for note in notes(fresh))
    forget_modules()
    edit_forward(lab)
    compared = from_results(find([lab.folder / "runs"]), "runs")
    assert compared.baseline.confounds == ["outdated, seed 0: their_lab/nets.py changed since"]
    assert any(note.startswith("Outdated: their_lab/nets.py changed since 1 run") for note in notes(compared))


def write_idx(folder: Path, first: int) -> None:
    for part, count in (("train", 60), ("t10k", 20)):
        images, labels = np.full((count, 28, 28), 7, np.uint8), (np.arange(count) % 10).astype(np.uint8)
        images[0] = first
        for name, values in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            (folder / name).write_bytes(head + values.tobytes())


def test_replaced_idx_files_are_noticed(prepared, tmp_path):
    small = ("data=fashion_mnist", f"data.root={tmp_path}", "data.batch_size=16", "trainer.max_epochs=1")
    write_idx(tmp_path, 0)
    known, _ = cell.run(prepared(*small))
    write_idx(tmp_path, 0)
    assert cell.run(prepared(*small)) == (known, False), "written again as they were"
    write_idx(tmp_path, 1)
    with pytest.raises(InputError, match=rf"the data in {tmp_path} changed"):
        cell.run(prepared(*small))
    assert cell.run(prepared(*small, "rerun=true"))[1]
    shutil.copy(tmp_path / "t10k-images-idx3-ubyte", tmp_path / "moved")
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    for name in tmp_path.glob("*-ubyte"):
        name.unlink()
    assert not cell.run(prepared(*small))[1], "nothing is here to be looked at"


def test_unchanged_files_are_not_read_again(prepared, tmp_path, monkeypatch):
    small = ("data=fashion_mnist", f"data.root={tmp_path}", "data.batch_size=16", "trainer.max_epochs=1")
    write_idx(tmp_path, 0)
    known, _ = cell.run(prepared(*small))
    monkeypatch.setattr(memory, "read", lambda *a: pytest.fail("the data were read"))
    assert cell.run(prepared(*small)) == (known, False)


def test_a_result_that_came_while_a_sweep_ran_is_not_made_again(lab):
    """As where two sweeps with rerun=true run at once."""
    then, now = "2001-01-01T00:00:00+00:00", "2001-01-01T00:05:00+00:00"
    (planned,) = lab.plan("seed=0", "rerun=true")
    planned.directory.mkdir(parents=True)
    record.write(planned.directory, RunRecord(status="finished", ended=then))
    planned.look()
    for ended, seen in ((then, None), (now, "finished")):
        record.write(planned.directory, RunRecord(status="finished", ended=ended))
        assert planned.ended_elsewhere() == seen


def test_records_are_json(lab):
    cell.run(lab.cell())
    provenance = json.loads((lab.cell().directory / "run.json").read_text())["provenance"]
    assert set(provenance["code"]) == {
        "their_lab/__init__.py",
        "their_lab/nets.py",
        "their_lab/scale.py",
        "their_data.py",
    }
    assert provenance["data_files"] is None
