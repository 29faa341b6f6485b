"""What `${name:…}` in conf/ computes."""

from typing import Any

from omegaconf import OmegaConf

from ablate.errors import InputError

# An image side up to which a network starts with a 3x3 convolution: CIFAR has 32, Tiny ImageNet 64.
SMALL_IMAGE = 64


def register_resolvers() -> None:
    """Register the resolvers of conf/: `${up_to_64_pixels:size,small,large}`, and `${of_arrays:…}` (array_files)."""
    OmegaConf.register_new_resolver("up_to_64_pixels", _by_size, replace=True)
    OmegaConf.register_new_resolver("of_arrays", _of_arrays, replace=True)


def _by_size(size: int | None, small: Any, large: Any) -> Any:
    if size is None:
        raise InputError(
            "data.image_size is not known. With data=arrays, name your two files: data.images=X.npy data.labels=y.npy."
            " A data file of your own must say channels, image_size and num_classes."
        )
    return small if size <= SMALL_IMAGE else large


def _of_arrays(*arguments: Any) -> int | None:
    from ablate.configuration import array_files  # imports NumPy, which a plan with other data does not need

    return array_files.value(*arguments)
