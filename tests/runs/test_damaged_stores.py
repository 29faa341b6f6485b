"""A damaged store: what was finished is kept or trained again, and nothing wrong is called finished."""

import errno
import hashlib
import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.runs import cell, intact, lease, record
from ablate.runs.examination import RESUMABLE, UNUSABLE, WHOLE, examined
from ablate.training.gradients.recorder import StepRecorder
from ablate.training.saving.staging import FullDiskError, Staging
from tests.runs.test_late_holders import numbers

RUN = ["trainer.max_epochs=3", "checkpoint.every_n_steps=5", "result=best"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A finished run and one that was stopped at step 17 of 30, trained once, by the folder that holds them."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture
def stored(prepared, stores, tmp_path, monkeypatch):
    """stored("finished" or "stopped"): a copy of that run, and the numbers that it must end with."""

    def make(kind: str, runs: str = "runs") -> tuple[cell.Cell, list]:
        for name in ("finished", "stopped"):
            if not (stores / name).exists():
                template = prepared(*RUN, runs=stores / name)
                with monkeypatch.context() as patch:
                    if name == "stopped":
                        patch.setattr(StepRecorder, "on_before_optimizer_step", stopping(17))
                        with pytest.raises(Interrupted):
                            cell.run(template)
                    else:
                        cell.run(template)
        shutil.copytree(stores / kind, tmp_path / runs)
        chosen = prepared(*RUN, runs=runs)
        return chosen, numbers(stores / "finished" / chosen.fingerprint)

    return make


def stopping(step: int) -> Callable[..., None]:
    original = StepRecorder.on_before_optimizer_step

    def hook(self, trainer, pl_module, optimizer):  # type: ignore[no-untyped-def]
        original(self, trainer, pl_module, optimizer)
        if trainer.global_step == step:
            signal.raise_signal(signal.SIGTERM)

    return hook


def flip(path: Path) -> None:
    """Other bytes in the middle, the length as it was."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 16] = bytes(255 - byte for byte in data[middle : middle + 16])
    path.write_bytes(data)


def into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(random.Random(1).randbytes(path.stat().st_size)),
    "flipped": flip,
    "null": lambda path: path.write_text("null"),
    "braces": lambda path: path.write_text("{}"),
    "folder": into_a_folder,
}
FILES = {
    "finished": [
        "run.json",
        "config.yaml",
        "metrics.parquet",
        "gradient_norms.parquet",
        "checkpoints/step-000000030.ckpt",
        "checkpoints/step-000000025.ckpt",
        "checkpoints/best.pt",
        "claims/*/released",
    ],
    "stopped": [
        "run.json",
        "config.yaml",
        "parts/metrics-00000000.parquet",
        "parts/metrics-00000002.parquet",
        "parts/gradient_norms-00000001.parquet",
        "checkpoints/step-000000018.ckpt",
        "checkpoints/step-000000015.ckpt",
        "checkpoints/best.pt",
        "claims/*/released",
    ],
}
FEW = [
    ("finished", "run.json", "half"),
    ("finished", "run.json", "deleted"),
    ("finished", "run.json", "null"),
    ("finished", "run.json", "folder"),
    ("finished", "config.yaml", "empty"),
    ("finished", "metrics.parquet", "flipped"),
    ("finished", "gradient_norms.parquet", "deleted"),
    ("finished", "checkpoints/step-000000030.ckpt", "flipped"),
    ("finished", "checkpoints/best.pt", "deleted"),
    ("finished", "claims/*/released", "deleted"),
    ("stopped", "parts/metrics-00000000.parquet", "deleted"),
    ("stopped", "parts/metrics-00000002.parquet", "empty"),
    ("stopped", "parts/gradient_norms-00000001.parquet", "garbage"),
    ("stopped", "checkpoints/step-000000018.ckpt", "half"),
    ("stopped", "run.json", "braces"),
]
ALL = [(kind, file, harm) for kind, files in FILES.items() for file in files for harm in HARMS]


def goes_on_right(chosen: cell.Cell, expected: list) -> None:
    """The same command ends with the right numbers, whatever the folder holds; then it has nothing more to do."""
    result, _ = cell.run(chosen)
    assert result.status == "finished"
    assert numbers(chosen.directory) == expected
    assert intact.damage(chosen.directory, result) == intact.leftovers(chosen.directory, result) == []
    assert cell.run(chosen)[1] is False
    assert [finding.state for finding in examined([chosen.directory])] == [WHOLE]


@pytest.mark.parametrize(
    ("kind", "file", "harm"), [*FEW, *(pytest.param(*c, marks=pytest.mark.long) for c in ALL if c not in FEW)]
)
def test_one_damaged_file(stored, monkeypatch, kind, file, harm):
    monkeypatch.setattr(lease, "STALE_AFTER", -1)  # a claim that cannot be read is waited for
    monkeypatch.setattr(lease, "WATCHED", 0)
    chosen, expected = stored(kind)
    (path,) = chosen.directory.glob(file)
    HARMS[harm](path)
    (found,) = examined([chosen.directory])
    kept = "config" in file or "claims" in file or "000015" in file or "000025" in file
    kept |= (kind, harm) == ("finished", "deleted") and "step-" in file  # they only served to resume
    assert found.state != WHOLE or kept
    goes_on_right(chosen, expected)


def several(draw: random.Random, directory: Path) -> None:
    for _ in range(draw.randint(2, 5)):
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        HARMS[draw.choice(sorted(HARMS))](draw.choice(files))


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 40))])
def test_several_damaged_files(stored, monkeypatch, seed):
    monkeypatch.setattr(lease, "STALE_AFTER", -1)
    monkeypatch.setattr(lease, "WATCHED", 0)
    draw = random.Random(seed)
    chosen, expected = stored(draw.choice(["finished", "stopped"]))
    several(draw, chosen.directory)
    examined([chosen.directory])
    if draw.random() < 0.5:
        examined([chosen.directory.parent], repair=True)
    goes_on_right(chosen, expected)


FOLDERS = ["parts", "checkpoints", "claims", ".hydra", ""]


@pytest.mark.parametrize(
    ("folder", "harm"), [*((folder, "deleted") for folder in FOLDERS), ("checkpoints", "file"), ("", "file")]
)
def test_a_folder_that_is_gone_or_no_folder(stored, folder, harm):
    chosen, expected = stored("stopped")
    shutil.rmtree(chosen.directory / folder)
    if harm == "file":
        (chosen.directory / folder).write_text("not a folder")
    goes_on_right(chosen, expected)


def test_checkpoints_that_were_deleted_to_make_room_leave_the_result(stored):
    chosen, expected = stored("finished")
    shutil.rmtree(chosen.directory / "checkpoints")
    assert cell.run(chosen)[1] is False
    (found,) = examined([chosen.directory])
    assert (found.state, found.reasons) == (WHOLE, ["its checkpoints have been deleted"])
    (chosen.directory / "config.yaml").unlink()
    assert cell.run(chosen)[1] is False
    assert numbers(chosen.directory) == expected and (chosen.directory / "config.yaml").is_file()


def test_checkpoints_that_only_serve_to_resume_are_not_needed_by_a_result(stored, monkeypatch):
    chosen, expected = stored("finished")
    for path in (chosen.directory / "checkpoints").glob("step-*.ckpt"):
        path.unlink()
    (found,) = examined([chosen.directory])
    assert (found.state, found.reasons) == (WHOLE, [])
    assert cell.run(chosen)[1] is False
    assert numbers(chosen.directory) == expected and (chosen.directory / "checkpoints" / "best.pt").is_file()


def test_each_file_of_a_result_is_hashed_once_per_command(stored, monkeypatch):
    chosen, _ = stored("finished")
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: read.append(file.name) or digest(file, kind))
    (chosen.directory / "config.yaml").unlink()  # so that the run is looked at before the claim and under it
    assert cell.run(chosen)[1] is False
    assert len(read) == len(set(read)) == 4
    flip(chosen.directory / "metrics.parquet")
    assert intact.faults(chosen.directory, record.read(chosen.directory)) != []


def test_what_is_trained_anew_is_set_aside_and_said(stored, caplog):
    chosen, expected = stored("finished")
    before = (chosen.directory / "gradient_norms.parquet").read_bytes()
    (chosen.directory / "metrics.parquet").write_bytes(b"")
    goes_on_right(chosen, expected)
    (aside,) = (chosen.directory.parent / ".damaged").iterdir()
    assert (aside / "gradient_norms.parquet").read_bytes() == before and (aside / "run.json").exists()
    assert "metrics.parquet has 0 bytes" in caplog.text and str(aside) in caplog.text


def test_a_torn_record_of_a_finished_run_costs_no_training(stored, caplog):
    chosen, expected = stored("finished")
    (chosen.directory / "run.json").write_text('{"status": "fini')
    goes_on_right(chosen, expected)
    assert "run.json is damaged. It resumes from step-000000030.ckpt" in caplog.text


def test_leftovers_are_swept_up(stored):
    chosen, _ = stored("finished")
    left = ["checkpoints/step-000000030.tmp", "run.json.tmp", "metrics.tmp", "parts/metrics-00000000.parquet"]
    for name in left:
        (chosen.directory / name).parent.mkdir(exist_ok=True)
        (chosen.directory / name).write_text("x")
    (chosen.directory / "claims" / "1.tmp").write_text("x")
    assert cell.run(chosen)[1] is False
    assert not [name for name in left if (chosen.directory / name).exists()]
    assert [path.name for path in (chosen.directory / "claims").iterdir()] == ["000002"]


def test_the_doctor_lists_each_kind_and_repairs_it(stored, tmp_path):
    kinds = {"whole": WHOLE, "stopped": RESUMABLE, "torn": RESUMABLE, "lost": UNUSABLE}
    directories = {}
    for name in kinds:
        chosen, _ = stored("stopped" if name == "stopped" else "finished", runs=name)
        directories[name] = chosen.directory
    (directories["torn"] / "run.json").write_text("")
    (directories["lost"] / "metrics.parquet").unlink()
    found = {finding.directory.parent.name: finding for finding in examined(tmp_path / name for name in kinds)}
    assert {name: finding.state for name, finding in found.items()} == kinds
    assert "metrics.parquet is missing" in found["lost"].reasons
    assert "resumes from step-000000018.ckpt" in found["stopped"].reasons
    (repaired,) = examined([directories["lost"]], repair=True)
    assert repaired.repaired
    assert record.read(directories["lost"]) is None
    with pytest.raises(InputError, match="no such file"):
        examined([tmp_path / "nowhere"])


def test_a_full_disk_leaves_nothing_unfinished_and_goes_on_once_there_is_room(stored, monkeypatch):
    chosen, expected = stored("stopped")
    original = Staging.replace

    def full(self: Staging, path: Path, write: Callable[[Path], object]) -> None:
        def write_some(unfinished: Path) -> None:
            write(unfinished)
            raise OSError(errno.ENOSPC, "No space left on device")

        original(self, path, write_some if path.suffix == ".parquet" else write)

    with monkeypatch.context() as patch:
        patch.setattr(Staging, "replace", full)
        with pytest.raises(FullDiskError):
            cell.run(chosen)
    assert json.loads((chosen.directory / "run.json").read_text())["status"] == "interrupted"
    assert lease.holder(chosen.directory) is None
    assert not list(chosen.directory.rglob("*.tmp"))
    goes_on_right(chosen, expected)


@pytest.mark.parametrize(("free", "full"), [(9_999_999, True), (10_000_001, False)])
def test_a_library_s_own_error_is_a_full_disk_where_its_file_does_not_fit(tmp_path, monkeypatch, free, full):
    """As torch.save's, which names a position in the file. Other programs may have freed some bytes since."""

    def write(path: Path) -> None:
        path.write_bytes(bytes(10_000_000))
        raise RuntimeError("unexpected pos")

    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: used._replace(free=free))
    with pytest.raises(FullDiskError if full else RuntimeError):
        Staging(tmp_path).replace(tmp_path / "checkpoint", write)
    assert [*tmp_path.iterdir()] == []


def test_a_disk_that_is_full_before_the_claim_leaves_no_claim(stored, monkeypatch):
    chosen, expected = stored("stopped")
    original = Path.write_text

    def full(self: Path, *args: object, **kwargs: object) -> int:
        if self.name == "holder":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            cell.run(chosen)
    assert lease.holder(chosen.directory) is None
    goes_on_right(chosen, expected)
