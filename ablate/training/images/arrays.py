"""Arrays of the user's as image data: files of NumPy's, or what a function returns."""

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
    """Arrays in memory: of files below `root`, or those that `function` returns.

    images, labels, test_images, test_labels: names of .npy files, or one .npz file for all of them. Without test
    arrays, `test_fraction` of the images are the test set, drawn by `test_seed` alone, of every class alike. layout:
    NHW, NHWC, NCHW or auto. mean, std: None for those of the training images. The rest is as in InMemoryImages.

    function: called with `arguments`, returns (images, labels), (images, labels, test_images, test_labels), or a
    mapping with these names and perhaps `files`, the paths that it has read: then data whose files are untouched need
    not be made again to know that they are the same.
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
                raise InputError(f"data.{named[0]}={names[named[0]]}: the arrays are a function's. Leave it out.")
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
    """The arrays of these files below `root`. Raises InputError for files that are missing, damaged or do not fit."""
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
    """What a function of the user's returns. Raises InputError for what are no arrays of images and labels."""
    name = f"{function.__module__}.{getattr(function, '__qualname__', function)}"
    try:
        given = function(**arguments)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever a function of the user's raises
        raise InputError(f"data: {name} failed: {reason(error)}") from error
    if isinstance(given, Source):
        return given
    files: Sequence[Path] | None = None
    if isinstance(given, Mapping):
        files = [Path(path) for path in given["files"]] if given.get("files") is not None else None
        arrays = {str(key): array for key, array in given.items() if array is not None and key != "files"}
        if unknown := [key for key in arrays if key not in NAMES]:
            raise InputError(f"data: {unknown[0]} is none of {', '.join(NAMES)}, which a function may return.")
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
    """An array of its own: what the function keeps, it may change."""
    try:
        return np.array(array)
    except (ValueError, TypeError, RuntimeError) as error:  # of lists of several lengths, of tensors elsewhere
        raise InputError(f"{what} cannot be made an array of NumPy's: {' '.join(str(error).split())}") from error


def made(
    arrays: dict[str, np.ndarray],
    what: dict[str, str],
    files: Sequence[Path] | None,
    test_fraction: float,
    test_seed: int,
    layout: str,
) -> Source:
    """A Source of `arrays`, which messages call `what`, and one line on how they were read."""
    lies = array_files.layout(arrays["images"].shape, layout, what["images"])
    axes = " x ".join(lies)
    said = f"{what['images']}: {axes}, {arrays['images'].dtype}"
    for key in [key for key in arrays if key.endswith("images")]:
        arrays[key] = _channels_first(arrays[key], lies, what[key])
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
        test = "files of their own"
    else:
        _cut_off(arrays, test_fraction, test_seed)
        test = f"{test_fraction:g} of them by data.test_seed={test_seed}"
    one = arrays["images"].shape[1:]
    say(
        f"{said}: {len(arrays['images']):,} images of {one[1]}x{one[2]} pixels and {one[0]} channel"
        f"{'s' * (one[0] > 1)} to train on,"
        f" {len(arrays['test_images']):,} to test on ({test}); labels: {_described(arrays['labels'])}."
    )
    tensors = {key: torch.from_numpy(np.ascontiguousarray(arrays[key])) for key in NAMES}
    return Source(tensors["images"], tensors["labels"], tensors["test_images"], tensors["test_labels"], files)


def _channels_first(images: np.ndarray, lies: str, what: str) -> np.ndarray:
    if images.ndim != len(lies):
        raise InputError(f"{what} has {images.ndim} axes, the training images {len(lies)}: both must lie alike.")
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
            raise InputError(f"{what}: image {first} has a value that is not finite: take it away, or replace it.")
    return images[:, None] if lies == "NHW" else np.moveaxis(images, lies.index("C"), 1)


def _labels(labels: np.ndarray, what: str) -> np.ndarray:
    """int64 (N,) for classes, float32 (N, K) for targets."""
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
    """Take the test arrays off the others."""
    from sklearn.model_selection import train_test_split  # a second, which other data do not spend

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


def _described(labels: np.ndarray) -> str:
    if labels.ndim == 1:
        return f"{int(labels.max()) + 1 if len(labels) else 0} classes"
    return f"{labels.shape[1]} target{'s' * (labels.shape[1] > 1)} each"
