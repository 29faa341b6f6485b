"""Image files as people have them: 16 bits, turned by a camera, damaged, of other kinds, with odd names."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2

from ablate.errors import InputError
from ablate.runs import cell, record
from ablate.training.data import ImageFolder
from ablate.training.images import pictures
from ablate.training.images.loaders import EpochSampler, FolderLoader, Pictures

RAMP = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)


def pixels(path: Path, mode: str = "L") -> np.ndarray:
    return np.asarray(pictures.read(str(path), mode))


def save_ramp(path: Path) -> None:
    if path.suffix == ".pgm":
        path.write_bytes(b"P5 64 64 65535\n" + RAMP.astype(">u2").tobytes())
    elif path.stem == "big_endian":
        Image.frombytes("I;16B", (64, 64), RAMP.astype(">u2").tobytes()).save(path)
    else:
        Image.fromarray(RAMP).save(path)


@pytest.mark.parametrize("name", ["ramp.png", "ramp.tif", "big_endian.tif", "ramp.pgm"])
def test_16_bits_are_scaled_to_8(tmp_path: Path, name: str) -> None:
    save_ramp(tmp_path / name)
    expected = np.floor(RAMP.astype(float) * 255 / 65535 + 0.5)  # PNG specification, 13.12
    assert np.array_equal(pixels(tmp_path / name), expected)
    assert np.array_equal(pixels(tmp_path / name, "RGB"), np.stack([expected] * 3, -1))


@pytest.mark.parametrize("values", [RAMP.astype(np.int32), (RAMP / 65535).astype(np.float32)], ids=["I", "F"])
def test_pixels_without_a_known_range_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / "depth.tif")
    with pytest.raises(InputError, match=r"depth.tif has pixels of Pillow's mode [IF], .*8 or 16 bits"):
        pixels(tmp_path / "depth.tif")


def test_a_picture_is_upright_as_its_camera_says(tmp_path: Path) -> None:
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # EXIF 2.32, tag 0x0112: what the stored picture must be turned by to be upright.
    upright = {1: stored, 3: stored[::-1, ::-1], 6: np.rot90(stored, -1), 8: np.rot90(stored), 2: stored[:, ::-1]}
    for orientation, expected in upright.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(stored).save(tmp_path / f"{orientation}.png", exif=exif)
        assert np.array_equal(pixels(tmp_path / f"{orientation}.png"), expected), orientation


def test_a_palette_with_transparency_is_its_colours_without_a_warning(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "flag.png", transparency=bytes([0, 128]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(tmp_path / "flag.png", "RGB").tolist() == [[[255, 0, 0], [0, 255, 0]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """2 classes, 10 + 3 noisy pictures of each, 16 pixels wide: train and val, PNG and JPEG."""
    random = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3)):
        for name in ("cat", "dog"):
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for n in range(count):
                noise = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
                noise.save(tmp_path / "pictures" / split / name / f"{n:03}.{'png' if n % 2 else 'jpg'}")
    return tmp_path / "pictures"


@pytest.fixture
def opened(image_folder: Callable[..., ImageFolder], root: Path) -> Callable[[], ImageFolder]:
    return lambda: image_folder(root, num_classes=2)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all.png")


def in_floats(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path, format="TIFF")


@pytest.mark.parametrize("name", ["train/cat/003.png", "train/dog/004.jpg", "val/cat/000.jpg"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "cannot be read"),
        (lambda path: path.write_bytes(b"<html>404</html>" * 9), r"cannot be read \(not an image\)"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (dangle, r"cannot be read \(No such file or directory\)"),
        (in_floats, "mode F,"),
    ],
    ids=["truncated", "foreign", "empty", "broken link", "floats"],
)
def test_a_damaged_picture_is_named_before_the_training(
    opened: Callable[[], ImageFolder], root: Path, name: str, damage: Callable[[Path], None], reason: str
) -> None:
    assert opened().train_size == 16
    damage(root / name)
    with pytest.raises(InputError, match=f"{root / name} .*{reason}"):
        opened()


def test_of_many_damaged_pictures_some_are_named_and_all_counted(opened: Callable[[], ImageFolder], root: Path) -> None:
    for path in root.glob("train/*/*"):
        cut(path)
    with pytest.raises(InputError, match=r"(cannot be read.*){5} And 15 more files"):
        opened()


def test_what_stands_behind_a_pictures_end_is_no_damage(opened: Callable[[], ImageFolder], root: Path) -> None:
    for path in root.glob("train/cat/*"):
        path.write_bytes(path.read_bytes() + b"\0" * 50)
    assert opened().train_size == 16


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_picture_that_is_damaged_later_is_named_when_its_turn_comes(root: Path, num_workers: int) -> None:
    paths = sorted(root.glob("train/cat/*"))
    cut(paths[7])
    files = Pictures([(str(path), 0) for path in paths], "RGB", v2.PILToTensor(), 0)
    sampler = EpochSampler(10, 4, seed=0, training=False, rank=0, world_size=1)
    batches = iter(FolderLoader(files, sampler, num_workers=num_workers, pin_memory=False))
    next(batches)
    with pytest.raises(InputError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{paths[7]} cannot be read") and "\n" not in str(caught.value)


def test_a_run_that_meets_a_damaged_picture_has_not_failed(root: Path, prepared, monkeypatch) -> None:
    monkeypatch.setattr(pictures, "LOOKED_AT", 0)
    cut(root / "val/cat/001.png")
    run = prepared(
        *("data=image_folder", f"data.root={root}", "data.num_classes=2", "data.image_size=16", "data.batch_size=8"),
        *("data.num_workers=0", "trainer.max_epochs=1"),
    )
    with pytest.raises(InputError, match=r"val/cat/001.png cannot be read"):
        cell.run(run)
    stored = record.read(run.directory)
    assert stored is not None and stored.status == "interrupted" and "001.png" in stored.reason
    Image.new("RGB", (16, 16)).save(root / "val/cat/001.png")
    # The file has another size: that is other data, which the stored run does not silently go on with.
    with pytest.raises(InputError, match="is outdated"):
        cell.run(run)


def test_companions_and_other_kinds_are_left_out_and_said_once(
    opened: Callable[[], ImageFolder], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = opened()
    assert "left out" not in caplog.text
    (root / "train/cat/._003.png").write_bytes(b"\0\5\26\7")  # macOS
    (root / "train/dog/.DS_Store").write_bytes(b"\0")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "train/cat/.thumbnails").mkdir()
    Image.new("RGB", (4, 4)).save(root / "train/cat/.thumbnails/000.png")
    Image.new("RGB", (4, 4)).save(root / "train/cat/moving.gif")
    (root / "val/dog/LICENSE").write_text("free")
    with_more = opened()
    assert (with_more.train_size, with_more.test_size) == (plain.train_size, plain.test_size)
    assert with_more.checksum() == plain.checksum()
    assert [entry.message for entry in caplog.records if "left out" in entry.message] == [
        f"{root}: these files are left out, because they are not pictures: 1 .gif, 1 no extension."
    ]


def test_files_are_numbered_as_torchvision_does(folder: Path) -> None:
    for split in ("train", "val"):
        reference = datasets.ImageFolder(str(folder / split))
        ours = pictures.found_in(folder / split)
        assert ours.samples == reference.samples and ours.classes == reference.classes


def test_files_in_folders_of_a_class_are_numbered_as_torchvision_does(root: Path) -> None:
    for place in ("a", "a/b", "a-b", "Z"):
        (root / "train/cat" / place).mkdir()
        Image.new("RGB", (4, 4)).save(root / "train/cat" / place / "0.PNG")
    assert pictures.found_in(root / "train").samples == datasets.ImageFolder(str(root / "train")).samples


def test_names_that_are_not_utf8(opened: Callable[[], ImageFolder], root: Path) -> None:
    before = opened().checksum()
    odd = os.fsencode(root / "train/cat/caf") + b"\xe9.png"
    os.rename(root / "train/cat/003.png", odd)  # noqa: PTH104
    data = opened()
    assert data.checksum() != before
    assert sum(len(labels) for _, labels in data.train_dataloader()) == 16
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write(b"nothing")
    with pytest.raises(InputError, match=r"caf\\xe9.png cannot be read") as caught:
        opened()
    str(caught.value).encode()


def test_a_class_without_pictures_says_what_is_read(opened: Callable[[], ImageFolder], root: Path) -> None:
    for path in root.glob("train/dog/*"):
        path.rename(path.with_suffix(".gif"))
    with pytest.raises(InputError, match=r"train/dog has no pictures. Kinds that are read: .jpg, .jpeg"):
        opened()


def test_fewer_than_no_workers(image_folder: Callable[..., ImageFolder], root: Path) -> None:
    with pytest.raises(InputError, match=r"data.num_workers=-1"):
        image_folder(root, num_classes=2, num_workers=-1)
