"""The readers of small data sets, against torchvision and scikit-learn, on files in the real formats."""

import gzip
import pickle
import struct
import tarfile
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from ablate.errors import InputError
from ablate.training import sources
from ablate.training.images import memory

WriteCifar = Callable[[Path, int], None]
PACKAGED = Path("/usr/share/datasets/fashion-mnist")
IDX = {
    "train-images-idx3-ubyte": (30, 28, 28),
    "train-labels-idx1-ubyte": (30,),
    "t10k-images-idx3-ubyte": (10, 28, 28),
    "t10k-labels-idx1-ubyte": (10,),
}


def write_idx(folder: Path, *, zipped: bool) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, shape in IDX.items():
        values = random.integers(0, 256 if len(shape) == 3 else 10, shape, dtype=np.uint8)
        content = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values.tobytes()
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network, on any machine."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def check_types(source: sources.Source, channels: int, size: int) -> None:
    for images, labels in (source[:2], source[2:4]):
        assert images.dtype == torch.uint8 and images.shape[1:] == (channels, size, size)
        assert labels.dtype == torch.int64 and labels.shape == (len(images),)
        assert images.is_contiguous()


def test_digits_are_scikit_learns_split_by_class() -> None:
    source = sources.digits(None, test_fraction=0.2, split_seed=0)
    check_types(source, 1, 8)
    assert (len(source.train_labels), len(source.test_labels)) == (1437, 360)
    shown = torch.cat([source.train_images, source.test_images]).flatten(1)
    labels = torch.cat([source.train_labels, source.test_labels])
    bunch = load_digits()
    # Back to 0..16, every picture is there once, with its label.
    values = torch.round(shown * (16 / 255)).long()
    assert shown.max() == 255 and shown.min() == 0
    ours = sorted(map(tuple, torch.cat([values, labels[:, None]], 1).tolist()))
    assert ours == sorted(
        (*row, label) for row, label in zip(bunch.data.astype(int).tolist(), bunch.target, strict=True)
    )
    expected = 0.2 * np.bincount(bunch.target)
    assert np.all(np.abs(np.bincount(source.test_labels) - expected) <= 1)


@pytest.mark.parametrize("place", [None, ModuleSpec("sklearn", None), ModuleSpec("sklearn", None, is_package=True)])
def test_the_digits_are_found_where_scikit_learn_has_moved_their_file(monkeypatch, place) -> None:
    expected = sources._digits()
    monkeypatch.setattr(sources, "find_spec", lambda name: place)
    for found, usual in zip(sources._digits(), expected, strict=True):
        np.testing.assert_array_equal(found, usual)
        assert found.dtype == usual.dtype


@pytest.mark.parametrize(("fraction", "seed"), [(0.2, 0), (0.13, 7), (0.37, 1), (0.0056, 2)])
def test_the_digits_are_read_and_split_as_by_scikit_learn(fraction: float, seed: int) -> None:
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    theirs = train_test_split(pixels, bunch.target, test_size=fraction, random_state=seed, stratify=bunch.target)
    ours = sources.digits(None, test_fraction=fraction, split_seed=seed)
    for other, own in zip(
        theirs, (ours.train_images, ours.test_images, ours.train_labels, ours.test_labels), strict=True
    ):
        np.testing.assert_array_equal(own.numpy(), other)


def test_the_digits_split_is_fixed_by_its_seed() -> None:
    first, again, other = (sources.digits(None, test_fraction=0.2, split_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test_images, again.test_images)
    assert not torch.equal(first.test_images, other.test_images)
    with pytest.raises(InputError, match=r"test_fraction=1.5"):
        sources.digits(None, test_fraction=1.5, split_seed=0)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["", "FashionMNIST/raw"])
def test_idx_files_equal_torchvisions_reading(tmp_path: Path, zipped: bool, inside: str) -> None:
    write_idx(tmp_path / "plain" / "FashionMNIST" / "raw", zipped=False)
    write_idx(tmp_path / "given" / inside, zipped=zipped)
    source = sources.fashion_mnist(str(tmp_path / "given"))
    check_types(source, 1, 28)
    for train, (images, labels) in ((True, source[:2]), (False, source[2:4])):
        reference = datasets.FashionMNIST(str(tmp_path / "plain"), train=train)
        assert torch.equal(images[:, 0], reference.data)
        assert torch.equal(labels, reference.targets)


@pytest.mark.skipif(not PACKAGED.is_dir(), reason=f"Debian's dataset-fashion-mnist is not in {PACKAGED}")
def test_the_real_fashion_mnist_equals_torchvisions_reading(tmp_path: Path) -> None:
    source = sources.fashion_mnist(str(PACKAGED))
    check_types(source, 1, 28)
    assert (len(source.train_labels), len(source.test_labels)) == (60_000, 10_000)
    for name in IDX:
        (tmp_path / name).write_bytes(gzip.decompress((PACKAGED / f"{name}.gz").read_bytes()))
    assert torch.equal(source.train_images[:, 0], read_image_file(str(tmp_path / "train-images-idx3-ubyte")))
    assert torch.equal(source.test_labels, read_label_file(str(tmp_path / "t10k-labels-idx1-ubyte")))
    pixels = source.train_images / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3530, abs=5e-5)


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c[:-1],
        lambda c: b"\1" + c[1:],
        lambda c: c[:10],
        lambda c: b"",
        lambda c: c[:10] + b"\xff" + c[11:],
    ],
    ids=["short", "magic", "header", "empty", "middle"],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_idx_file_is_named(tmp_path: Path, zipped: bool, damage: object) -> None:
    write_idx(tmp_path / "set", zipped=zipped)
    path = tmp_path / "set" / ("t10k-images-idx3-ubyte" + (".gz" if zipped else ""))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.*delete it"):
        sources.fashion_mnist(str(tmp_path / "set"))


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


LABELS, PICTURES = np.arange(30, dtype=np.uint8) % 10, np.zeros((30, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "train-labels-idx1-ubyte",
            LABELS[:10],
            r"train-images-idx3-ubyte has 30 images, and .* has 10 labels",
        ),
        ("train-labels-idx1-ubyte", np.tile(LABELS, 2), "30 images.* 60 labels"),
        ("t10k-labels-idx1-ubyte", LABELS, r"t10k-images-idx3-ubyte has 10 images, and .* has 30 labels"),
        ("train-images-idx3-ubyte", PICTURES[:0], r"train-images-idx3-ubyte has no images"),
        ("t10k-images-idx3-ubyte", PICTURES[:0], r"t10k-images-idx3-ubyte has no images"),
        ("train-labels-idx1-ubyte", PICTURES, r"labels-idx1-ubyte cannot be read \(3 dimensions"),
        ("train-images-idx3-ubyte", LABELS, r"images-idx3-ubyte cannot be read \(1 dimensions"),
        ("train-images-idx3-ubyte", PICTURES[0, 0, 0], r"images-idx3-ubyte cannot be read \(0 dimensions"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, name: str, content: np.ndarray, words: str, zipped: bool
) -> None:
    write_idx(tmp_path / "set", zipped=zipped)
    packed = gzip.compress(idx(content)) if zipped else idx(content)
    (tmp_path / "set" / (name + (".gz" if zipped else ""))).write_bytes(packed)
    with pytest.raises(InputError, match=words.replace("ubyte ", r"ubyte\.gz ") if zipped else words):
        sources.fashion_mnist(str(tmp_path / "set"))


@pytest.mark.parametrize("labels", [[*range(10)] * 9, [*range(10)] * 11])
def test_cifars_labels_are_as_many_as_its_images(tmp_path: Path, labels: list[int], write_cifar: WriteCifar) -> None:
    write_cifar(tmp_path, 10)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | {"labels": labels}))
    with pytest.raises(InputError, match=rf"500 images, and it has {400 + len(labels)} labels"):
        sources.cifar10(str(tmp_path))


@pytest.mark.parametrize("entry", [{"data": None}, {"labels": None}, {"data": np.zeros((100, 3000), np.uint8)}])
def test_a_cifar_file_with_other_things_in_it_says_where(tmp_path: Path, entry: dict, write_cifar: WriteCifar) -> None:
    write_cifar(tmp_path, 10)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | entry))
    with pytest.raises(InputError, match="cifar-10-batches-py cannot be read"):
        sources.cifar10(str(tmp_path))


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_is_read_from_extracted_files(tmp_path: Path, classes: int, write_cifar: WriteCifar) -> None:
    write_cifar(tmp_path, classes)
    source = (sources.cifar10 if classes == 10 else sources.cifar100)(str(tmp_path))
    check_types(source, 3, 32)
    assert (len(source.train_labels), len(source.test_labels)) == (500 if classes == 10 else 100, 100)
    # The documented format: a row is 1024 red, 1024 green, 1024 blue values, row by row of the picture.
    folder = tmp_path / ("cifar-10-batches-py" if classes == 10 else "cifar-100-python")
    entry = pickle.loads((folder / ("test_batch" if classes == 10 else "test")).read_bytes())
    assert source.test_images[7, 1, 2, 3] == entry["data"][7, 1024 + 2 * 32 + 3]
    assert torch.equal(source.test_images.flatten(1), torch.from_numpy(entry["data"]))
    assert source.test_labels.tolist() == entry["labels" if classes == 10 else "fine_labels"]


def test_a_downloaded_cifar_archive_must_have_its_md5(tmp_path: Path, offline: None, write_cifar: WriteCifar) -> None:
    write_cifar(tmp_path / "made", 10)
    (tmp_path / "root").mkdir()
    with tarfile.open(tmp_path / "root" / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    with pytest.raises(InputError, match="download failed"):
        sources.cifar10(str(tmp_path / "root"))


@pytest.mark.parametrize("length", [0, 40])
@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_a_damaged_cifar_file_says_where(tmp_path: Path, name: str, length: int, write_cifar: WriteCifar) -> None:
    write_cifar(tmp_path, 10)
    path = tmp_path / "cifar-10-batches-py" / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="cifar-10-batches-py cannot be read"):
        sources.cifar10(str(tmp_path))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (sources.fashion_mnist, ["train-images-idx3-ubyte", "data.root=/usr/share/datasets/fashion-mnist"]),
        (sources.cifar10, ["cifar-10-batches-py", "data_batch_5", "cifar-10-python.tar.gz"]),
        (sources.cifar100, ["cifar-100-python", "meta", "cifar-100-python.tar.gz"]),
    ],
)
def test_without_files_and_network_it_says_how_to_get_them(
    tmp_path: Path, offline: None, source: object, words: list[str]
) -> None:
    root = tmp_path / "new" / "folder"
    with pytest.raises(InputError) as caught:
        source(str(root))
    for word in [str(root), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"data.root"):
        source(None)


def test_a_failed_download_leaves_what_was_there(tmp_path: Path, offline: None) -> None:
    write_idx(tmp_path / "set", zipped=True)
    (tmp_path / "set" / "t10k-labels-idx1-ubyte.gz").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="download failed"):
        sources.fashion_mnist(str(tmp_path / "set"))
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        sources.cifar10(str(tmp_path / "empty"))
    assert (tmp_path / "empty").is_dir()


def test_a_process_reads_a_data_set_once_for_all_its_runs_and_keeps_no_second_one(in_memory, small_source, tmp_path):
    read = []

    def reader(root, *, part):
        assert not memory._kept, "the last one should be gone before the next is read"
        read.append((root, part))
        return small_source(root)

    def checksum(root, part):
        data = in_memory(source=partial(reader, part=part), root=root)
        data.setup()
        return data.checksum()

    memory._kept.clear()
    assert checksum(tmp_path, 1) == checksum(tmp_path, 1)
    assert read == [(tmp_path, 1)]
    for root, part in ((tmp_path, 2), (tmp_path / "b", 2), (tmp_path, 1)):
        checksum(root, part)
    assert read[1:] == [(tmp_path, 2), (tmp_path / "b", 2), (tmp_path, 1)]
