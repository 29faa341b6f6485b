"""Reads the array files of data=arrays: which array is where, its shape, and the order of its axes.

Nothing is unpickled.
"""

import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from ablate.errors import InputError

LAYOUTS = ("NHW", "NHWC", "NCHW")
MOST_CHANNELS = 4  # an axis of at most this length is taken for the channels (grey, RGB, RGBA)

# The names that an array may have in a .npz file: ours, and Keras's.
MEMBERS = {
    "images": ("images", "x_train"),
    "labels": ("labels", "y_train"),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
}


class Place(NamedTuple):
    """Where an array is stored: a .npy file, or a member of a .npz file."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}[{self.member}]" if self.member else str(self.path)


def places(root: str | None, names: Mapping[str, str | None]) -> dict[str, Place]:
    """Where each array is stored, by the keys of MEMBERS.

    names  file names below `root`, by the same keys. A .npz file for `images` also gives every array that has no file
           name of its own.

    Raises InputError if images or labels are missing.
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
    """An array's shape and type, from its header. Raises InputError if the file is damaged or holds Python objects."""
    state = place.path.stat()
    return _header(place, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)  # most cells of a sweep share their data
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
        raise InputError(f"{place} holds Python objects. They are not read, because reading them can run code.")
    return shape, kind


def load(place: Place) -> np.ndarray:
    """The array. Raises InputError if the file is damaged or holds Python objects."""
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
    """The order of the axes of images of this shape, one of LAYOUTS: `given`, unless that is `auto`.

    Three axes mean grey images. With four, the channels are the second or the last axis: the one that is at most
    MOST_CHANNELS long. If both are or neither is, the other two axes must be equal, as height and width of a square.

    what  names the array in messages

    Raises InputError if this does not decide it.
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
    """The value of `${of_arrays:…}` in a configuration, read from the files.

    name  `channels`, `image_size` or `num_classes`

    None if no file is named. Raises InputError if the files do not tell.
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
    """How many outputs a network needs: the number of classes for whole-number labels, else the labels' columns."""
    labels = load(place)
    if labels.ndim == 1 and labels.size and np.issubdtype(labels.dtype, np.integer):
        return int(labels.max()) + 1
    return labels.shape[1] if labels.ndim == 2 else 1


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
