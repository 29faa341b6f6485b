"""Your own arrays as image data: NumPy files, or what a function returns."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablate.configuration import array_files
from ablate.errors import InputError, reason, say
from ablate.training.data import InMemoryImages
from ablate.training.sources import Source

NAMES = tuple(array_files.MEMBERS)


class Arrays(InMemoryImages):
    """Arrays from files below `root`, or from a function.

    images, labels, test_images, test_labels
                   names of .npy files, or one .npz file with all of them as `images`
    test_fraction  without test arrays, this share of the images is the test set, stratified by class
    test_seed      alone decides which images that are
    layout         the order of the images' axes: NHW, NHWC, NCHW or auto
    function       called with `arguments`. It returns (images, labels), (images, labels, test_images, test_labels), or
                   a mapping with these names, and optionally `files`, the paths that it has read. While those files are
                   unchanged, the function need not be called again to know that the data are
    rest           the arguments of InMemoryImages
    """

    def __init__(
        self,
        *,
        images: str | None = None,
        labels: str | None = None,
        test_images: str | None = None,
        test_labels: str | None = None,
        test_fraction: float,
        test_seed: int,
        layout: str,
        function: Callable[..., Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        names: dict[str, Any] = dict(zip(NAMES, (images, labels, test_images, test_labels), strict=True))
        how: dict[str, Any] = {"test_fraction": test_fraction, "test_seed": test_seed, "layout": layout}
        if function is None:
            source: Callable[[str | None], Source] = partial(of_files, **names, **how)
        else:
            if named := [key for key, name in names.items() if name]:
                raise InputError(f"data.{named[0]}={names[named[0]]}: a function returns the arrays. Leave this out.")
            source = partial(of_function, function=function, arguments=dict(arguments or {}), **how)
        super().__init__(source=source, **rest)


def of_files(
    root: str | None,
    *,
    images: str | None,
    labels: str | None,
    test_images: str | None,
    test_labels: str | None,
    test_fraction: float,
    test_seed: int,
    layout: str,
) -> Source:
    """The arrays of these files below `root`. Raises InputError for files that are missing, damaged or do not match."""
    places = array_files.places(root, dict(zip(NAMES, (images, labels, test_images, test_labels), strict=True)))
    arrays = {key: array_files.load(place) for key, place in places.items()}
    files = list(dict.fromkeys(place.path for place in places.values()))
    what = {key: str(place) for key, place in places.items()}
    return made(arrays, what, files, test_fraction, test_seed, layout)


def of_function(
    root: str | None,
    *,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    test_fraction: float,
    test_seed: int,
    layout: str,
) -> Source:
    """The arrays that the user's function returns. Raises InputError if it fails, or returns anything else."""
    name = f"{function.__module__}.{getattr(function, '__qualname__', function)}"
    try:
        given = function(**arguments)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a user's function may raise anything
        raise InputError(f"data: {name} failed: {reason(error)}") from error
    if isinstance(given, Source):
        return given
    files: Sequence[Path] | None = None
    if isinstance(given, Mapping):
        files = [Path(path) for path in given["files"]] if given.get("files") is not None else None
        arrays = {str(key): array for key, array in given.items() if array is not None and key != "files"}
        if unknown := [key for key in arrays if key not in NAMES]:
            raise InputError(f"data: the function returned {unknown[0]!r}. It may return {', '.join(NAMES)} and files.")
    elif isinstance(given, tuple) and len(given) in (2, 4):
        arrays = dict(zip(NAMES, given, strict=False))
    else:
        raise InputError(
            f"data: {name} returned {_kind(given)}: return (images, labels), (images, labels, test_images,"
            f" test_labels), or a mapping of {', '.join(NAMES)}."
        )
    if missing := [key for key in ("images", "labels") if key not in arrays]:
        raise InputError(f"data: {name} returned no {missing[0]}.")
    what = {key: f"{name}: the array {key}" for key in arrays}
    arrays = {key: _copied(array, what[key]) for key, array in arrays.items()}
    return made(arrays, what, files, test_fraction, test_seed, layout)


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else type(value).__name__


def _copied(array: Any, what: str) -> np.ndarray:
    """A copy as a NumPy array, because the function may keep its arrays and change them."""
    try:
        return np.array(array)
    except (ValueError, TypeError, RuntimeError) as error:  # for example lists of different lengths, or GPU tensors
        raise InputError(f"{what} cannot be converted to a NumPy array: {' '.join(str(error).split())}") from error


def made(
    arrays: dict[str, np.ndarray],
    what: dict[str, str],
    files: Sequence[Path] | None,
    test_fraction: float,
    test_seed: int,
    layout: str,
) -> Source:
    """A Source of `arrays`. Prints one line on how they were read. `what` names each array in messages."""
    axes = array_files.layout(arrays["images"].shape, layout, what["images"])
    read_as = f"{what['images']}: {' x '.join(axes)}, {arrays['images'].dtype}"
    for key in [key for key in arrays if key.endswith("images")]:
        arrays[key] = _channels_first(arrays[key], axes, what[key])
    for key in [key for key in arrays if key.endswith("labels")]:
        arrays[key] = _labels(arrays[key], what[key])
    for pixels, labels in (("images", "labels"), ("test_images", "test_labels")):
        if pixels in arrays and len(arrays[pixels]) != len(arrays[labels]):
            raise InputError(
                f"{what[pixels]} has {len(arrays[pixels]):,} images, {what[labels]} {len(arrays[labels]):,} labels."
            )
    if "test_images" in arrays:
        if arrays["test_images"].dtype != arrays["images"].dtype:
            kinds = f"{arrays['images'].dtype} and {arrays['test_images'].dtype}"
            raise InputError(f"{what['images']} and {what['test_images']} are of two types, {kinds}: use one.")
        test = "given as test images"
    else:
        _cut_off(arrays, test_fraction, test_seed)
        test = f"data.test_fraction={test_fraction:g}, drawn by data.test_seed={test_seed}"
    one = arrays["images"].shape[1:]
    say(
        f"{read_as}: {len(arrays['images']):,} images of {one[1]}x{one[2]} pixels and {one[0]} channel"
        f"{'s' * (one[0] > 1)} to train on,"
        f" {len(arrays['test_images']):,} to test on ({test}); labels: {_described(arrays['labels'])}."
    )
    _warn_of_gaps(arrays["labels"], arrays["test_labels"], what["labels"])
    tensors = {key: torch.from_numpy(np.ascontiguousarray(arrays[key])) for key in NAMES}
    return Source(tensors["images"], tensors["labels"], tensors["test_images"], tensors["test_labels"], files)


def _channels_first(images: np.ndarray, axes: str, what: str) -> np.ndarray:
    if images.ndim != len(axes):
        raise InputError(f"{what} has {images.ndim} axes, the training images {len(axes)}: use the same layout.")
    if not len(images):
        raise InputError(f"{what} is empty.")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        as_bytes = np.issubdtype(images.dtype, np.integer) and images.min() >= 0 and images.max() <= 255
        advice = (
            f" These are {images.min()} to {images.max()}: convert them, array.astype('uint8')." if as_bytes else ""
        )
        raise InputError(f"{what} is of type {images.dtype}: images are uint8 (0 to 255) or floats.{advice}")
    if images.dtype != np.uint8:
        images = images.astype(np.float32)
        if not np.isfinite(images).all():
            first = int(np.argwhere(~np.isfinite(images))[0][0])
            raise InputError(f"{what}: image {first} has a value that is not finite: remove the image, or replace it.")
    return images[:, None] if axes == "NHW" else np.moveaxis(images, axes.index("C"), 1)


def _labels(labels: np.ndarray, what: str) -> np.ndarray:
    """The labels as int64 (N,) for classes, or float32 (N, K) for targets."""
    if labels.ndim not in (1, 2) or not (np.issubdtype(labels.dtype, np.number) or labels.dtype == bool):
        raise InputError(
            f"{what} is of shape {labels.shape} and type {labels.dtype}: N whole numbers from 0 up are classes, N or"
            " N x K numbers are targets."
        )
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        return labels.astype(np.int64)
    targets = labels.astype(np.float32).reshape(len(labels), -1)
    if not np.isfinite(targets).all():
        raise InputError(f"{what} has a value that is not finite, in row {np.argwhere(~np.isfinite(targets))[0][0]}.")
    return targets


def _cut_off(arrays: dict[str, np.ndarray], fraction: float, seed: int) -> None:
    """Split the test arrays off the others, in place."""
    from sklearn.model_selection import train_test_split  # not at the top: it takes a second to import

    by_class = arrays["labels"] if arrays["labels"].ndim == 1 else None
    try:
        parts = train_test_split(
            arrays["images"], arrays["labels"], test_size=fraction, random_state=seed, stratify=by_class
        )
    except ValueError as error:
        raise InputError(
            f"data.test_fraction={fraction}: no such split of {len(arrays['labels'])} images ({error}) Give"
            " data.test_images and data.test_labels."
        ) from error
    arrays["images"], arrays["test_images"], arrays["labels"], arrays["test_labels"] = parts


def _warn_of_gaps(labels: np.ndarray, test_labels: np.ndarray, what: str) -> None:
    """Warn where most of the classes up to the largest label do not occur."""
    if labels.ndim != 1 or not len(labels):
        return
    occur, classes = np.unique(np.concatenate([labels, test_labels])), int(labels.max()) + 1
    if 2 * len(occur) < classes:
        say(
            f"{what}: the largest label is {classes - 1}, so the network gets {classes} outputs, but only {len(occur)}"
            f" classes occur. Number them from 0 to {len(occur) - 1}: labels = numpy.unique(labels,"
            " return_inverse=True)[1]."
        )


def _described(labels: np.ndarray) -> str:
    if labels.ndim == 1:
        return f"{int(labels.max()) + 1 if len(labels) else 0} classes"
    return f"{labels.shape[1]} target{'s' * (labels.shape[1] > 1)} each"
