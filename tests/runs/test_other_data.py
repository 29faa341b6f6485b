"""Two folders of pictures share a fingerprint: neither is given the other's result or checkpoint."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.runs import cell
from ablate.training import sources
from ablate.training.saving.stopping import Stopping


@pytest.fixture
def folders(tmp_path) -> dict[str, Path]:
    """first, its copy elsewhere, one with a picture more, and one that is not here."""
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for label in ("left", "right"):
            folder = tmp_path / "first" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    for name in ("copy", "other"):
        shutil.copytree(tmp_path / "first", tmp_path / name)
    train = tmp_path / "other" / "train" / "left"
    shutil.copy(train / "0.png", train / "more.png")
    return {name: tmp_path / name for name in ("first", "copy", "other", "nowhere")}


@pytest.fixture
def on(prepared, folders):
    """on("first", …): the cell on that folder."""
    small = ("data=signs", "data.num_classes=2", "data.image_size=8", "data.batch_size=4", "data.num_workers=0")
    return lambda name, *more: prepared(*small, "trainer.max_epochs=2", f"data.root={folders[name]}", *more)


def refused(chosen: cell.Cell, folders: dict[str, Path], checksum: str) -> None:
    with pytest.raises(
        InputError, match=f"data in {folders['other']} changed .*{checksum} in {folders['first']}.*rerun=true"
    ):
        cell.run(chosen)


def test_a_result_is_of_its_own_data(on, folders):
    record, _ = cell.run(on("first"))
    for name in ("first", "copy", "nowhere"):
        assert cell.run(on(name)) == (record, False)
    refused(on("other"), folders, record.provenance["data_checksum"])
    again, trained = cell.run(on("other", "rerun=true"))
    assert trained and again.provenance["data_checksum"] != record.provenance["data_checksum"]
    assert again.provenance["data_root"] == str(folders["other"])


@pytest.mark.parametrize("older", [False, True])
def test_changed_pictures_in_the_same_place_are_noticed(on, folders, older):
    record, _ = cell.run(on("first"))
    if older:  # versions that had the checksum only
        for key in ("code", "data_files"):
            del record.provenance[key]
        cell.record.write(on("first").directory, record)
    (folders["first"] / "train" / "left" / "0.png").touch()
    assert cell.run(on("first")) == (record, False)
    shutil.copy(folders["first"] / "train" / "left" / "0.png", folders["first"] / "train" / "left" / "more.png")
    with pytest.raises(InputError, match=f"data in {folders['first']} changed .*rerun=true"):
        cell.run(on("first"))


def test_a_picture_of_the_same_name_and_size_is_noticed(on, folders):
    picture = folders["first"] / "val" / "left" / "0.bmp"
    Image.new("RGB", (8, 8)).save(picture)
    cell.run(on("first"))
    size = picture.stat().st_size
    Image.new("RGB", (8, 8), "white").save(picture)
    assert picture.stat().st_size == size
    with pytest.raises(InputError, match=r"contents of the data's files .* changed .*rerun=true"):
        cell.run(on("first"))
    again, trained = cell.run(on("first", "rerun=true"))
    assert trained and cell.run(on("first")) == (again, False)
    shutil.rmtree(folders["copy"])
    shutil.copytree(folders["first"], folders["copy"])
    assert cell.run(on("copy")) == (again, False)


def test_a_run_goes_on_with_its_own_data(on, folders, monkeypatch):
    def stopped(self, trainer):  # type: ignore[no-untyped-def]
        return signal.SIGTERM if trainer.global_step == 2 else None

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Stopping, "asked", stopped)
        cell.run(on("first"))
    directory = on("first").directory
    shutil.copytree(directory, directory.with_name("kept"))
    checksum = cell.record.read(directory).provenance["data_checksum"]
    refused(on("other"), folders, checksum)
    assert not cell.run(on("other", "rerun=true"))[0].resumed, "from the start, the other run set aside"
    shutil.rmtree(directory)
    directory.with_name("kept").rename(directory)
    assert cell.run(on("copy"))[0].resumed


def test_the_data_are_read_once(prepared, monkeypatch):
    read, calls = sources.digits, []
    monkeypatch.setattr(sources, "digits", lambda *a, **k: calls.append(a) or read(*a, **k))
    chosen = prepared("trainer.max_epochs=1")
    cell.run(chosen)
    assert len(calls) == 1
    cell.run(chosen)
    assert len(calls) == 1, "nor at all for a stored result"
