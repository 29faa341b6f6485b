"""What the files of data=arrays say of themselves: their shapes, and how images in them lie. Nothing is unpickled."""

import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from ablate.errors import InputError

LAYOUTS = ("NHW", "NHWC", "NCHW")
MOST_CHANNELS = 4  # that tell which axis they are: grey, colour, with transparency; more need data.layout

# By its own name or Keras's: what a .npz file may hold.
MEMBERS = {
    "images": ("images", "x_train"),
    "labels": ("labels", "y_train"),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
}


class Place(NamedTuple):
    """Where an array lies: a .npy file, or the member of a .npz file."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}[{self.member}]" if self.member else str(self.path)


def places(root: str | None, names: Mapping[str, str | None]) -> dict[str, Place]:
    """Where each array lies that is there, by the keys of MEMBERS. names: the files by these keys, below `root`.

    A .npz file under `images` stands for all that it holds and no other file is named for. Raises InputError where
    images or labels are missing.
    """
    found = {key: place for key, name in names.items() if name and (place := _place(root, name, key))}
    first = names.get("images")
    if first and first.endswith(".npz"):
        for key in MEMBERS:
            if key not in found and (place := _place(root, first, key, needed=key in ("images", "labels"))):
                found[key] = place
    for key in ("images", "labels"):
        if key not in found:
            raise InputError(
                f"data.{key} is missing: data=arrays takes data.images=X.npy data.labels=y.npy, or one .npz file with"
                " images and labels as data.images."
            )
    for one, other in (("test_images", "test_labels"), ("test_labels", "test_images")):
        if one in found and other not in found:
            raise InputError(f"data.{other} is missing: data.{one} goes with it. Give both, or neither.")
    return found


def _place(root: str | None, name: str, key: str, needed: bool = True) -> Place | None:
    path = Path(root or "").expanduser() / name
    if not path.is_file():
        raise InputError(f"data.{key}={name}: there is no file {path.absolute()}.")
    if path.suffix == ".npy":
        return Place(path)
    if path.suffix != ".npz":
        raise InputError(f"data.{key}={name}: a file that numpy.save or numpy.savez has written is expected.")
    held = _members(path)
    member = next((member for member in MEMBERS[key] if member in held), None)
    if member is None and needed:
        raise InputError(f"{path} holds {', '.join(held)}, and nothing called {' or '.join(MEMBERS[key])}.")
    return Place(path, member) if member else None


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error}): write it again.") from error


def shape_and_kind(place: Place) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """An array's shape and type, from its header. Raises InputError for a file that is damaged or holds objects."""
    state = place.path.stat()
    return _header(place, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)  # the cells of a sweep mostly have the same
def _header(place: Place, changed: int, size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        if place.member is None:
            with place.path.open("rb") as file:
                return _read_header(file, place)
        with zipfile.Path(place.path, f"{place.member}.npy").open("rb") as file:
            return _read_header(file, place)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{place} cannot be read ({error}): write it again with numpy.save.") from error


def _read_header(file: Any, place: Place) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    shape, _, kind = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    if kind.hasobject:
        raise InputError(f"{place} holds Python objects, which are not read, since that runs code.")
    return shape, kind


def load(place: Place) -> np.ndarray:
    """The array. Raises InputError for a file that is damaged or holds objects."""
    shape_and_kind(place)
    try:
        found = np.load(place.path, allow_pickle=False)
        if place.member is None:
            return found
        with found:
            return found[place.member]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{place} cannot be read ({error}): write it again with numpy.save.") from error


def layout(shape: tuple[int, ...], given: str, what: str) -> str:
    """How images of this shape lie, one of LAYOUTS: the `given` one, unless that is `auto`.

    Three axes are grey images. Of four, the channels are the second or the last: the one of at most MOST_CHANNELS;
    where both are, or neither is, the one beside two equal ones. Raises InputError where that does not tell either.
    """
    if given != "auto":
        if len(shape) != len(given):
            raise InputError(f"data.layout={given}: {what} has {len(shape)} axes, {_by(shape)}.")
        return given
    if len(shape) == 3:
        return "NHW"
    if len(shape) != 4:
        raise InputError(f"{what} has {len(shape)} axes, {_by(shape)}: images have 3 (N x H x W) or 4 with channels.")
    first, last = shape[1] <= MOST_CHANNELS, shape[3] <= MOST_CHANNELS
    if first == last:
        first, last = shape[2] == shape[3], shape[1] == shape[2]
    if first == last:
        raise InputError(
            f"{what} is {_by(shape)}: which axis holds the channels? Say data.layout=NHWC where it is the last, NCHW"
            " where it is the second."
        )
    return "NCHW" if first else "NHWC"


def sides(shape: tuple[int, ...], layout: str) -> tuple[int, int, int]:
    """Channels, height and width of images of this shape."""
    sizes = dict(zip(layout, shape, strict=True))
    return sizes.get("C", 1), sizes["H"], sizes["W"]


def value(name: str, root: str | None, images: str | None, labels: str | None, given: str = "auto") -> int | None:
    """What `${of_arrays:…}` stands for in a configuration: `channels`, `image_size` or `num_classes` of the files.

    None where no file is named. Raises InputError where the files do not say.
    """
    if images is None:
        return None
    found = places(root, {"images": images, "labels": labels})
    if name == "num_classes":
        path = found["labels"].path
        state = path.stat()
        return _outputs(found["labels"], state.st_mtime_ns, state.st_size)
    shape, _ = shape_and_kind(found["images"])
    channels, height, width = sides(shape, layout(shape, given, str(found["images"])))
    if name == "channels":
        return channels
    if height != width:
        raise InputError(
            f"{found['images']} has images of {height}x{width} pixels, networks take squares: data.image_size="
            f"{max(height, width)} resizes them."
        )
    return height


@lru_cache(maxsize=64)
def _outputs(place: Place, changed: int, size: int) -> int:
    """How many numbers a network gives for an image: classes of whole numbers, columns of anything else."""
    labels = load(place)
    if labels.ndim == 1 and labels.size and np.issubdtype(labels.dtype, np.integer):
        return int(labels.max()) + 1
    return labels.shape[1] if labels.ndim == 2 else 1


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
