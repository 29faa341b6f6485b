"""Data sets in memory: read once for all runs of a process, and identified by a checksum."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ablate.errors import InputError, say
from ablate.training.images import files
from ablate.training.sources import Source


class DataSet:
    """A Source in memory, its checksum, and the state of its files when they were read (see `files.seen`)."""

    def __init__(self, source: Source, root: str | None) -> None:
        self.source = source
        places = None if source.files is None else [files.place(Path(path), root) for path in source.files]
        self.files = None if places is None else files.seen(root, places)

    def is_current(self, root: str | None) -> bool:
        """Whether the files are unchanged. True if they are not known."""
        return self.files is None or self.files == files.seen(root, self.files["places"])

    @cached_property
    def checksum(self) -> str:
        """16 hex digits of SHA-256 over the arrays."""
        digest = hashlib.sha256()
        for array in self.source[:4]:
            digest.update(f"{tuple(array.shape)}".encode())
            digest.update(array.numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def range(self) -> tuple[float, float]:
        """The least and the largest value of the training images."""
        least, most = self.source.train_images.aminmax()
        return float(least), float(most)


_kept: list[tuple[Any, DataSet]] = []


def read(source: Callable[[str | None], Source], root: str | None) -> DataSet:
    """The data set that `source`, a partial of a function, reads from `root`. The last one that was read is kept for
    the next run of a sweep, until its files change."""
    place = root and Path(root).expanduser().absolute()
    function, arguments = getattr(source, "func", source), getattr(source, "keywords", {})
    asked = (function, getattr(source, "args", ()), arguments, place)
    if not _kept or _kept[0][0] != asked or not _kept[0][1].is_current(root):
        _kept.clear()  # before the next one is read, so that only one is in memory
        _kept.append((asked, DataSet(source(root), root)))
    return _kept[0][1]


def classes(source: Source, expected: int) -> int:
    """The number of classes among the labels, or of targets for each image.

    Raises InputError for a negative label, or one beyond the `expected` number while others are missing.
    """
    if source.train_labels.ndim == 2:
        return _targets(source, expected)
    seen = torch.cat([source.train_labels, source.test_labels]).unique()
    least, most = int(seen[0]), int(seen[-1])
    if least != 0 and len(seen) == most - least + 1:
        shifted = f"The labels are {least} to {most}, where classes count from 0 up"
        if least < 0 or most >= expected:
            raise InputError(f"{shifted}: {f'add {-least} to' if least < 0 else f'subtract {least} from'} each.")
        say(f"{shifted}: no image is of class 0.")
    if least < 0 or (most >= expected and len(seen) <= most):
        raise InputError(
            f"The data have a label {least if least < 0 else most} and {len(seen)} different labels in all. With"
            f" data.num_classes={expected}, labels are 0 to {expected - 1}. The labels are damaged, or belong to other"
            " data."
        )
    return most + 1


def _targets(source: Source, expected: int) -> int:
    """How many targets an image has. Raises InputError where they are not as many as expected."""
    targets = source.train_labels
    count = targets.shape[1]
    if count != expected:
        may_be_classes = count == 1 and bool((targets == targets.round()).all()) and float(targets.min()) >= 0
        hint = " If they are classes, give N whole numbers: labels.reshape(-1).astype(int)." if may_be_classes else ""
        raise InputError(
            f"The labels are {count} target{'s' * (count > 1)} for each image, data.num_classes={expected}. Use"
            f" data.num_classes={count}.{hint}"
        )
    return count


def forget() -> None:
    """Forget the kept data set if its files are not known, such as those of a user's function: it may have changed."""
    if _kept and _kept[0][1].files is None:
        _kept.clear()
