"""A stored run's network: built from its configuration, with its trained weights, and used."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf
from torch import Tensor, nn

from ablate.api.images import known_range, test_set, warn_of_scale
from ablate.configuration.array_files import layout
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.training import build
from ablate.training.images.common import multiply_add, normalised
from ablate.training.saving.checkpoints import checkpoints
from ablate.training.saving.resume import loaded

BATCH = 256  # images that are predicted at once

# Whose code a configuration may name without being trusted: what is defined here, and is a class or a function.
KNOWN = ("ablate.design.", "torch.nn.", "torchvision.models.", "torchvision.ops.")
# The same for data.
KNOWN_DATA = ("ablate.training.data.", "ablate.training.sources.", "ablate.training.images.arrays.")
# What of a configuration a network is made of.
_PARTS = ("model", "block", "shortcut", "norm", "stem", "transition", "head", "placement", "activation", "init")


def trained(directory: Path, trust: bool) -> nn.Module:
    """The network in `directory` with its trained weights, in evaluation mode.

    trust  call whatever its configuration names, rather than only what is of KNOWN

    Raises InputError for other code, and where there are no weights that fit.
    """
    register_resolvers()
    config = configuration(directory)
    if not trust:
        _check_known(directory, {name: config.get(name) for name in _PARTS}, KNOWN)
    network = build.initialised_network(OmegaConf.create(config))
    try:
        network.load_state_dict(_weights(directory, config))
    except RuntimeError as error:
        said = f"the weights do not fit the network, whose code may have changed: {error}"
        raise InputError(f"{directory}: {said}") from error
    return network.eval()


def configuration(directory: Path) -> dict[str, Any]:
    """What config.yaml says. Raises InputError where that cannot be read."""
    try:
        found = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{directory}/config.yaml cannot be read ({error}).") from error
    if not isinstance(found, dict):
        raise InputError(f"{directory}/config.yaml holds no configuration.")
    return found


def predicted(directory: Path, network: nn.Module, images: Any) -> np.ndarray:
    """The network's scores of `images`, float32 (N, outputs). Raises InputError for what are no images of its kind."""
    data, seen = configuration(directory)["data"], _seen(directory)
    pixels = _pixels(np.asarray(images), int(data["channels"]))
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    mean, std, of_bytes = (
        seen.get("mean", data.get("mean")),
        seen.get("std", data.get("std")),
        seen.get("of_bytes", True),
    )
    scores = []
    with torch.inference_mode():
        for batch in pixels.split(BATCH):
            scores.append(network(_input(batch, mean, std, of_bytes, data["image_size"]).to(device)).float().cpu())
    if mean is not None and std is not None:  # otherwise a data module of the user's has normalised them
        warn_of_scale(pixels, known_range(seen, mean, std, of_bytes), of_bytes)
    return torch.cat(scores).numpy()


def tested(directory: Path, trust: bool, provenance: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of the test set (`test_set`), with `trust` as in `trained`.

    provenance  of the run: from which folder its data were read, and their checksum
    """
    config = configuration(directory)
    if not trust:
        _check_known(directory, {"data": config.get("data")}, KNOWN_DATA)
    if root := provenance.get("data_root"):
        config["data"]["root"] = root  # the configuration's may be relative to where the run was started
    return test_set(config, directory, provenance.get("data_checksum"))


def _input(batch: Tensor, mean: Any, std: Any, of_bytes: bool, size: int) -> Tensor:
    """A batch (N, channels, height, width) of bytes or floats as the network was given it in the training."""
    is_bytes = batch.dtype == torch.uint8
    if mean is None or std is None:  # a data module of the user's has done it
        return batch.float()
    if is_bytes != of_bytes and is_bytes:
        raise InputError(
            "predict: the network was trained on floats; these images are bytes. If they are on the same scale, give"
            " images.astype('float32')."
        )
    if of_bytes and not is_bytes and not (float(batch.min()) >= 0 and float(batch.max()) <= 1):
        raise InputError("predict: the network was trained on bytes: give uint8, or floats between 0 and 1.")
    return normalised(batch, *multiply_add(mean, std, is_bytes), size)


def _pixels(images: np.ndarray, channels: int) -> Tensor:
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"predict: images of type {images.dtype}; uint8 or floats are expected.")
    shape = images.shape
    if len(shape) == 4 and (shape[1] == channels) != (shape[3] == channels):
        lies = "NCHW" if shape[1] == channels else "NHWC"
    else:
        lies = layout(shape, "auto", "predict: the array")
    pixels = images[:, None] if lies == "NHW" else np.moveaxis(images, lies.index("C"), 1)
    if pixels.shape[1] != channels:
        raise InputError(f"predict: images of {pixels.shape[1]} channels; the network takes {channels}.")
    if not len(pixels):
        raise InputError("predict: there are no images.")
    pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    return torch.tensor(np.ascontiguousarray(pixels))


def _newest(directory: Path) -> dict[str, Any]:
    for path in reversed(checkpoints(directory / "checkpoints")):
        if (state := loaded(path)) is not None:
            return state
    raise InputError(f"{directory} has no checkpoint that can be read: they were deleted, or are damaged.")


def _seen(directory: Path) -> dict[str, Any]:
    """How the data were normalised, as far as a checkpoint says."""
    state = _newest(directory) if checkpoints(directory / "checkpoints") else {}
    return next((own for own in state.values() if isinstance(own, dict) and own.get("mean") and "of_bytes" in own), {})


def _weights(directory: Path, config: dict[str, Any]) -> dict[str, Tensor]:
    if config.get("result") == "best":
        best = loaded(directory / "checkpoints" / "best.pt")
        if best is None:
            raise InputError(f"{directory}/checkpoints/best.pt is missing or damaged.")
        return best
    state = _newest(directory)["state_dict"]
    own = {name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")}
    if not own:
        raise InputError(f"{directory}: its module does not keep its network as self.network, so nobody finds it.")
    return own


def _check_known(directory: Path, parts: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in _targets(parts):
        if not name.startswith(known) or not _is_defined_there(name, known):
            raise InputError(
                f"{directory}/config.yaml names {name}, which is neither this package's nor torch's. To load it"
                " runs that code: if you trust whoever made this folder, say ablate.load(…, trust=True)."
            )


def _is_defined_there(name: str, known: tuple[str, ...]) -> bool:
    """Whether it is a class or a function of `known`, and nothing that one of those modules has only imported."""
    try:
        found = get_object(name)
    except Exception:  # whatever an odd name makes of it
        return False
    home = f"{getattr(found, '__module__', None)}."
    return (inspect.isclass(found) or inspect.isfunction(found)) and home.startswith(known)


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield str(value["_target_"])
        for item in value.values():
            yield from _targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _targets(item)
