"""Images of a stored run: its own test set, and whether others are on the scale that its network was trained on."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.training import build

BYTES = (0.0, 255.0)
NARROW = 1 / 8  # of the range of the training images: images that span less are of another scale, or nearly blank
BEYOND = 1 / 2  # of that range: images that reach further out are of another scale


def test_set(config: Mapping[str, Any], directory: Path, checksum: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The test images and labels of the data that `config` names, read on this machine, before they are normalised.

    checksum  of the data that the run in `directory` was trained on, if it recorded one

    Raises InputError where the data cannot be read, or have changed since.
    """
    register_resolvers()
    data = build.images(OmegaConf.create({**config}))
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    now = data.checksum()
    if checksum and now and checksum != now:
        raise InputError(f"{directory}: its data have changed since (checksum {checksum} then, {now} now).")
    batches = list(data.test_dataloader())
    if not all(isinstance(batch, list | tuple) and len(batch) == 2 for batch in batches):
        raise InputError(f"{directory}: the batches of its test set are not (images, labels).")
    images, labels = zip(*batches, strict=True)
    return torch.cat(images).numpy(), torch.cat(labels).numpy()


def known_range(seen: Mapping[str, Any], mean: Any, std: Any, of_bytes: bool) -> tuple[float, float]:
    """The least and the largest value of the training images, before they were normalised.

    seen       what a checkpoint says of the data; runs of older versions have no range there, and image files none
    mean, std  of each channel, by which they were normalised: of bytes scaled to [0, 1], or of floats. The estimate
               without a recorded range is the mean and three standard deviations on either side
    """
    if "range" in seen:
        least, most = seen["range"]
        return least, most
    if of_bytes and not seen:
        return BYTES
    scale = 255 if of_bytes else 1
    least = scale * min(m - 3 * s for m, s in zip(mean, std, strict=True))
    most = scale * max(m + 3 * s for m, s in zip(mean, std, strict=True))
    return (max(least, BYTES[0]), min(most, BYTES[1])) if of_bytes else (least, most)


def warn_of_scale(pixels: Tensor, trained: tuple[float, float], of_bytes: bool) -> None:
    """Warn, at the line that called `Run.predict`, where `pixels` seem to be on another scale than the training images.

    trained   the least and the largest value of those
    of_bytes  whether those were bytes: then floats are bytes divided by 255
    """
    scale = 1 / 255 if of_bytes and pixels.dtype != torch.uint8 else 1.0
    low, high = (scale * value for value in trained)
    least, most = float(pixels.min()), float(pixels.max())
    width = high - low
    if most - least >= NARROW * width and least >= low - BEYOND * width and most <= high + BEYOND * width:
        return
    warnings.warn(
        f"predict: these images have values from {least:.4g} to {most:.4g}, those that the network was trained on from"
        f" {low:.4g} to {high:.4g}. On another scale its scores mean nothing. Give images as the training had them:"
        " `run.test_set` shows how.",
        stacklevel=4,
    )
