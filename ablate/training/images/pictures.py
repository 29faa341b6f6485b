"""Image files: which files of a folder are used, whether they can be read, and their pixels as 8 bits."""

import hashlib
import logging
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ablate.errors import InputError

log = logging.getLogger(__name__)

# As torchvision's ImageFolder has them, which takes a second to import.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# Pillow's names for pixels of at most 8 bits a channel.
_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
# The last bytes of a complete file.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
# What Pillow may raise for a damaged file.
_DAMAGED: tuple[type[Exception], ...] = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError)
_DAMAGED += (OverflowError, struct.error, zlib.error, Image.DecompressionBombError)

LOOKED_AT = 50_000  # up to this many files are checked before training: it takes seconds, or minutes over a network
READERS = 16  # threads that check files in parallel: a network file system is slow for each file
NAMED = 5  # damaged files that a message names


@dataclass(frozen=True)
class Folder:
    """Pictures in folders, one for each class.

    classes   in alphabetical order; the position is the class number
    samples   (path, class number), in torchvision's order
    left_out  how many files are not pictures, by file extension
    """

    classes: list[str]
    samples: list[tuple[str, int]]
    left_out: Counter[str]


def found_in(folder: Path) -> Folder:
    """The pictures in `folder`/<class>/…, as torchvision.datasets.ImageFolder numbers them.

    Files and folders whose names start with a dot are left out: systems and editors leave them (._003.png, .ipynb_…).
    Raises OSError for a folder that cannot be read, InputError if it has no classes, or a class has no pictures.
    """
    classes = sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith("."))
    if not classes:
        raise InputError(f"{shown(folder)} has no folders, one for each class.")
    samples: list[tuple[str, int]] = []
    left_out: Counter[str] = Counter()
    for number, name in enumerate(classes):
        before = len(samples)
        for path in _files(str(folder / name)):
            if path.lower().endswith(EXTENSIONS):
                samples.append((path, number))
            else:
                left_out[Path(path).suffix or "no extension"] += 1
        if len(samples) == before:
            kinds = ", ".join(EXTENSIONS)
            raise InputError(f"{shown(folder / name)} has no pictures. Kinds that are read: {kinds}.")
    return Folder(classes, samples, left_out)


def _files(folder: str) -> Iterator[str]:
    for root, names in sorted(_walk(folder)):
        for name in sorted(names):
            yield f"{root}{os.sep}{name}"


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    def refuse(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield root, [name for name in names if not name.startswith(".")]


# Checksums of files that this process has already checked: the next cell of a sweep mostly has the same ones.
_sound: set[str] = set()


def checksum(root: Path, paths: Sequence[str]) -> str:
    """16 hex digits of SHA-256 over the names and sizes of the files at `paths`, below `root`.

    If there are at most LOOKED_AT files, each is opened, and decoded if it does not end as a complete file of its
    format does. Raises InputError, which names them, for files that are missing, empty or found damaged.
    """
    digest, refusals = hashlib.sha256(), []
    for path in sorted(paths):
        try:
            size = Path(path).stat().st_size
        except OSError as error:
            refusals.append(_damage(path, error))
            continue
        if size == 0:
            refusals.append(f"{shown(path)} is empty: repair or remove it.")
        digest.update(os.fsencode(Path(path).relative_to(root).as_posix()) + f" {size}\n".encode())
    name = digest.hexdigest()[:16]
    if not refusals and name not in _sound and len(paths) <= LOOKED_AT:
        with ThreadPoolExecutor(READERS) as readers:
            refusals = [refusal for refusal in readers.map(_refusal, paths) if refusal]
    if refusals:
        more = f" And {len(refusals) - NAMED:,} more files." if len(refusals) > NAMED else ""
        raise InputError(" ".join(refusals[:NAMED]) + more)
    _sound.add(name)
    return name


def say_left_out(root: Path, left_out: Counter[str]) -> None:
    """Log one line on files that are not read, if there are any."""
    if left_out:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(left_out.items()))
        log.warning("%s: these files are left out, because they are not pictures: %s.", shown(root), kinds)


def _refusal(path: str) -> str | None:
    try:
        with _Opened(path) as picture:
            if not _ends_well(path, picture.format):
                picture.load()
    except InputError as error:
        return str(error)
    return None


def _ends_well(path: str, kind: str | None) -> bool:
    end = _ENDS.get(kind or "", b"")
    with Path(path).open("rb") as file:
        file.seek(-len(end), os.SEEK_END)
        return file.read() == end


def read(path: str, mode: str) -> Image.Image:
    """The picture in a file, upright, in Pillow's `mode` L (grey) or RGB.

    16 bits per channel are scaled to 8 as the PNG specification says (section 13.12): value * 255 / 65535. Transparency
    is ignored. Raises InputError, which names the file, if it is damaged, or if the range of its pixels is unknown.
    """
    with _Opened(path) as picture:
        picture.load()
        picture.info.pop("transparency", None)  # with a palette, `convert` would warn about it
        ImageOps.exif_transpose(picture, in_place=True)  # cameras store the orientation separately
        if _has_16_bits(picture):
            values = np.asarray(picture).astype(np.uint32)
            return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert(mode)
        return picture.convert(mode)


def _has_16_bits(picture: Image.Image) -> bool:
    # Mode I has 32 bits. For these two formats it contains the file's 16 bits, in their full range.
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM"))


class _Opened:
    """An open image file, as a context manager. Turns any error of the file into an InputError that names it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> Image.Image:
        try:
            self.picture = Image.open(self.path)
        except _DAMAGED as error:
            raise InputError(_damage(self.path, error)) from error
        if self.picture.mode not in _EIGHT_BITS and not _has_16_bits(self.picture):
            self.picture.close()
            raise InputError(
                f"{shown(self.path)} has pixels of Pillow's mode {self.picture.mode}, whose values for black and white"
                " are unknown: save it with 8 or 16 bits per channel."
            )
        return self.picture

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.picture.close()
        if isinstance(error, _DAMAGED):
            raise InputError(_damage(self.path, error)) from error


def _damage(path: str, error: BaseException) -> str:
    reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else str(error).rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    return f"{shown(path)} cannot be read ({reason}): repair or remove it."


def shown(path: str | Path) -> str:
    """A path for a message, even if its bytes are not UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")
