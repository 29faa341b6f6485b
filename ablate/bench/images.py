"""Random images instead of a data set: what is measured does not depend on their content."""

import torch
from torch import Tensor

from ablate.training.sources import Source


def random(root: str | None, *, train: int, test: int, channels: int, size: int, classes: int) -> Source:
    """`train` + `test` random images of channels x size x size, with balanced classes. `root` is not used."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Tensor:
        return torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)

    def labels(count: int) -> Tensor:
        # The last class comes first, so that it is present even among a few images.
        return (classes - 1 - torch.arange(count)) % classes

    return Source(images(train), labels(train), images(test), labels(test))


def overrides(data: str, train: int, *, test: int, channels: int, size: int, classes: int = 10) -> list[str]:
    """The overrides by which `data` has random images, at least `train` of them for training."""
    numbers = {"train": train + max(1, train // 99 + 1), "test": test, "channels": channels, "size": size}
    return [
        f"data={data}",
        f"data.source._target_={random.__module__}.{random.__name__}",
        *(f"+data.source.{name}={number}" for name, number in (numbers | {"classes": classes}).items()),
        f"data.image_size={size}",
        f"data.num_classes={classes}",
        "data.val_fraction=0.01",
    ]
