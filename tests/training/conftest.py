"""Small image data, in memory and in a folder of files."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as VF

from ablate.training.data import ImageFolder, InMemoryImages
from ablate.training.sources import Source


def pictures(count: int, channels: int, size: int, seed: int) -> Tensor:
    shape = (count, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def small_source(root: str | None) -> Source:
    return Source(pictures(100, 3, 6, 0), torch.arange(100) % 5, pictures(23, 3, 6, 1), torch.arange(23) % 5)


COMMON = {
    "seed": 3,
    "channels": 3,
    "image_size": 6,
    "num_classes": 5,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "flip": True,
    "batch_size": 16,
    "eval_batch_size": 10,
    "val_fraction": 0.1,
    "split_seed": 0,
    "root": None,
    "channels_last": False,
}


def in_memory(**changes: object) -> InMemoryImages:
    data = InMemoryImages(**(COMMON | {"source": small_source, "shift": 2} | changes))
    data.setup()
    return data


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ImageNet's layout: 3 classes, 12 + 3 pictures of each, JPEG and PNG, odd sizes, some grey."""
    root = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(5)
    for split, count in (("train", 12), ("val", 3)):
        for name in ("ant", "bee", "cat"):
            (root / split / name).mkdir(parents=True)
            for n in range(count):
                height, width = torch.randint(20, 60, (2,), generator=generator).tolist()
                coarse = torch.rand(1, 3, 5, 5, generator=generator)
                pixels = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
                picture = VF.to_pil_image(pixels).convert("L" if n == 0 else "RGB")
                picture.save(root / split / name / f"{n:02}.{'png' if n % 2 else 'jpg'}")
    return root


def image_folder(where: Path, **changes: object) -> ImageFolder:
    own = {
        "num_classes": 3,
        "image_size": 16,
        "batch_size": 8,
        "eval_batch_size": 4,
        "val_fraction": 0.2,
        "root": str(where),
    }
    data = ImageFolder(
        **(COMMON | own | {"crop_scale": [0.3, 1.0], "crop_fraction": 0.875, "num_workers": 0} | changes)
    )
    data.setup()
    return data


def same(first: object, second: object) -> bool:
    """The same batches: the same tensors in the same order."""
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


def trainer_stub(device: torch.device, rank: int = 0, world: int = 1) -> SimpleNamespace:
    strategy = SimpleNamespace(root_device=device)
    return SimpleNamespace(strategy=strategy, global_rank=rank, world_size=world)


@pytest.fixture(scope="session", name="pictures")
def _pictures() -> Callable[..., Tensor]:
    return pictures


@pytest.fixture(scope="session", name="small_source")
def _small_source() -> Callable[..., Source]:
    return small_source


@pytest.fixture(scope="session", name="in_memory")
def _in_memory() -> Callable[..., InMemoryImages]:
    return in_memory


@pytest.fixture(scope="session", name="image_folder")
def _image_folder() -> Callable[..., ImageFolder]:
    return image_folder


@pytest.fixture(scope="session", name="same")
def _same() -> Callable[..., bool]:
    return same


@pytest.fixture(scope="session", name="trainer_stub")
def _trainer_stub() -> Callable[..., SimpleNamespace]:
    return trainer_stub
