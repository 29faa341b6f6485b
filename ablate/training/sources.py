"""Small image data sets that are read into memory as a whole: one function for each, which returns a Source."""

import gzip
import math
import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ablate.errors import InputError
from ablate.training.images.split import stratified

if TYPE_CHECKING:  # torchvision takes a second, for which digits need not wait
    from torchvision.datasets import CIFAR10

_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


# What torchvision may raise for a pickle that is damaged or has unexpected content.
_UNREADABLE = (RuntimeError, OSError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError)


_may_download = ContextVar("may_download", default=True)


@contextmanager
def without_download() -> Iterator[None]:
    """While the block runs, a data set that is not in its folder is refused instead of downloaded."""
    token = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(token)


class Source(NamedTuple):
    """A data set in memory: images as uint8 or float32 (count, channels, height, width); labels as int64 (count,) for
    classes, else as float32 (count, targets).

    files  all files that were read or looked for, also missing ones. While they are unchanged, so are the data. None
           if they are not known
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    files: Sequence[Path] | None = None


def digits(root: str | None, *, test_fraction: float, split_seed: int) -> Source:
    """The 1,797 real handwritten digits inside scikit-learn: 1x8x8, 10 classes, nothing read from `root`.

    There is no official test split. The test set is `test_fraction` of the images, stratified by class and drawn with
    `split_seed`. Pixel values 0 to 16 become 0 to 255. Source: UCI "Optical Recognition of Handwritten Digits" (its
    test part).

    Raises InputError for a test fraction outside (0, 1), or one that leaves a class out.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"data.source.test_fraction={test_fraction}: use a number between 0 and 1, such as 0.2.")
    pixels, labels = _digits()
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    try:
        train, test = stratified(labels, test_fraction, split_seed)
    except ValueError as error:
        raise InputError(
            f"data.source.test_fraction={test_fraction} data.source.split_seed={split_seed}: no such split of"
            f" {len(images)} images in 10 classes ({error})."
        ) from error
    return _source(images[train], labels[train], images[test], labels[test], files=())


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 64) from 0 to 16, and labels, as scikit-learn's load_digits() reads them from its own file.

    Read here, because the import of sklearn.datasets takes longer than the training's first epoch. Where a version of
    scikit-learn has the file elsewhere, load_digits() reads it.
    """
    package = find_spec("sklearn")
    folders = (package.submodule_search_locations if package else None) or []
    path = next((path for folder in folders if (path := Path(folder, "datasets/data/digits.csv.gz")).is_file()), None)
    if path is None:
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)
    with gzip.open(path, "rb") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)


def fashion_mnist(root: str | None) -> Source:
    """Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747): 1x28x28, 10 classes, 60,000 + 10,000.

    Reads its four IDX files, gzipped or not, from `root` or from torchvision's `root`/FashionMNIST/raw;
    downloads them to the latter when one is missing.

    Raises InputError if the files are missing and cannot be downloaded, or are damaged.
    """
    folder = _folder(root)
    if _idx_paths(folder) is None:
        from torchvision import datasets

        _download(
            folder,
            datasets.FashionMNIST,
            target="FashionMNIST/raw",
            expected=f"{', '.join(_IDX_FILES)} (gzipped or not), here or in FashionMNIST/raw",
            advice="Debian has them: after `apt install dataset-fashion-mnist` "
            "use data.root=/usr/share/datasets/fashion-mnist.",
        )
    paths = _idx_paths(folder)
    if paths is None:
        raise InputError(f"The download of Fashion-MNIST to {folder} is incomplete: delete the files there, try again.")
    train_images, train_labels, test_images, test_labels = map(_read_idx, paths, (3, 1, 3, 1))
    _check_pair(len(train_images), len(train_labels), str(paths[0]), str(paths[1]))
    _check_pair(len(test_images), len(test_labels), str(paths[2]), str(paths[3]))
    candidates = [path for paths in _idx_candidates(folder) for path in paths]
    return _source(train_images[:, None], train_labels, test_images[:, None], test_labels, files=candidates)


def cifar10(root: str | None) -> Source:
    """CIFAR-10 (Krizhevsky 2009): 3x32x32, 10 classes, 50,000 + 10,000, from `root`/cifar-10-batches-py.

    Downloads them if missing. Raises InputError if the files cannot be downloaded, or are damaged.
    """
    from ablate.training.images.cifar import Cifar10

    return _cifar(root, Cifar10)


def cifar100(root: str | None) -> Source:
    """CIFAR-100 with its fine labels (Krizhevsky 2009): 3x32x32, 100 classes, from `root`/cifar-100-python.

    Downloads them if missing. Raises InputError if the files cannot be downloaded, or are damaged.
    """
    from ablate.training.images.cifar import Cifar100

    return _cifar(root, Cifar100)


def _cifar(root: str | None, reader: "type[CIFAR10]") -> Source:
    folder = _folder(root)
    extracted = folder / reader.base_folder
    names = [name for name, _ in (*reader.train_list, *reader.test_list)] + [reader.meta["filename"]]
    if not all((extracted / name).is_file() for name in names):
        _download(
            folder,
            reader,
            target=reader.base_folder,
            expected=f"{reader.base_folder}/ with {', '.join(names)}",
            advice=f"Get {reader.url} where there is a network, unpack it in that folder with "
            f"`tar xzf {reader.filename}`, or set data.root to the folder that has it.",
        )
    try:
        train, test = reader(str(folder), train=True), reader(str(folder), train=False)
    except (*_UNREADABLE, pickle.UnpicklingError) as error:
        raise InputError(f"{extracted} cannot be read ({error}): delete it and get it again.") from error
    for part, data in (("training set", train), ("test set", test)):
        _check_pair(len(data.data), len(data.targets), f"The {part} in {extracted}", "it")
    # torchvision turns the files' own channels-first arrays into channels-last ones.
    train_images, test_images = train.data.transpose(0, 3, 1, 2), test.data.transpose(0, 3, 1, 2)
    files = [extracted / name for name in names]
    return _source(train_images, train.targets, test_images, test.targets, files=files)


def _folder(root: str | None) -> Path:
    if root is None:
        raise InputError("data.root is empty: name the folder that has the data set, or where to download it to.")
    return Path(root).expanduser()


def _download(folder: Path, reader: Callable[..., object], *, target: str, expected: str, advice: str) -> None:
    """Let torchvision download to `folder`/`target`. If that fails, remove new empty folders and raise InputError."""
    if not _may_download.get():
        raise InputError(f"No data set in {folder.absolute()}: expected there: {expected}.")
    created = [path for path in (folder / target, *(folder / target).parents) if not path.exists()]
    try:
        reader(str(folder), download=True)
    except (RuntimeError, OSError, HTTPException) as error:
        for path in created:
            with suppress(OSError):
                path.rmdir()
        reason = " ".join(str(error).split())
        missing = "there is no such folder; " if folder in created else ""
        raise InputError(
            f"No data set in {folder.absolute()}: {missing}expected there: {expected}. {advice}"
            f" The download failed too ({reason})."
        ) from error


def _idx_paths(folder: Path) -> list[Path] | None:
    """The four IDX files in the order of a Source, or None when one is missing."""
    found = [[path for path in paths if path.is_file()] for paths in _idx_candidates(folder)]
    return [paths[0] for paths in found] if all(found) else None


def _idx_candidates(folder: Path) -> list[list[Path]]:
    """Where each of the four IDX files may be; the first path that exists is used."""
    places = [folder, folder / "FashionMNIST" / "raw"]
    return [[path for place in places for path in (place / name, place / f"{name}.gz")] for name in _IDX_FILES]


def _check_pair(images: int, labels: int, of_images: str, of_labels: str) -> None:
    """Raise InputError unless there are images, and as many labels. `of_images`, `of_labels`: where they are from."""
    if images == 0:
        raise InputError(f"{of_images} has no images: get it again.")
    if images != labels:
        raise InputError(
            f"{of_images} has {images} images, and {of_labels} has {labels} labels: they do not belong together. Get"
            " both again."
        )


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes: 0, 0, type 8, number of dimensions, big-endian uint32 sizes, the bytes.

    dimensions  the expected number: 3 for images, 1 for labels

    torchvision's reader does not read gzipped files, and would need write access to unpack them.
    Format: http://yann.lecun.com/exdb/mnist. Raises InputError for a damaged file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if content[:3] != b"\0\0\x08":
            raise ValueError("not an IDX file of bytes")
        if content[3] != dimensions:
            raise ValueError(f"{content[3]} dimensions, where images have 3 and labels 1")
        sizes = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
        pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * len(sizes))
        if len(pixels) != math.prod(sizes):
            raise ValueError(f"{len(pixels)} bytes where {math.prod(sizes)} are declared")
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): delete it and get it again.") from error
    return pixels.reshape(sizes)


def _source(
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    files: Sequence[Path],
) -> Source:
    return Source(
        torch.tensor(train_images, dtype=torch.uint8),
        torch.tensor(train_labels, dtype=torch.int64),
        torch.tensor(test_images, dtype=torch.uint8),
        torch.tensor(test_labels, dtype=torch.int64),
        files,
    )
