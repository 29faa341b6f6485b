"""Folders of image files, against torchvision."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from ablate.errors import InputError
from ablate.training.data import ImageFolder
from ablate.training.images import pictures
from ablate.training.images.loaders import EpochSampler
from ablate.training.seeds import stream


def reference_pixels(path: str, size: int) -> Tensor:
    """The papers' evaluation crop, by torchvision's transforms."""
    crop = v2.Compose([v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size), v2.PILToTensor()])
    return crop(Image.open(path).convert("RGB"))


def test_folder_splits_and_evaluation_crops(
    folder: Path, pictures: Callable[..., Tensor], image_folder: Callable[..., ImageFolder], same: Callable[..., bool]
) -> None:
    data = image_folder(folder)
    assert (data.train_size, data.val_size, data.test_size) == (29, 7, 9)
    reference = datasets.ImageFolder(str(folder / "val"))
    tested = list(data.test_dataloader())
    assert torch.cat([labels for _, labels in tested]).tolist() == [label for _, label in reference.samples]
    expected = torch.stack([reference_pixels(path, 16) for path, _ in reference.samples])
    assert torch.equal(torch.cat([images for images, _ in tested]), expected)
    # Validation pictures come from train/, by the split's seed alone.
    sources = {reference_pixels(path, 16).numpy().tobytes() for path in map(str, folder.glob("train/*/*"))}
    held_out = [image.numpy().tobytes() for images, _ in data.val_dataloader() for image in images]
    assert len(set(held_out)) == 7 and set(held_out) <= sources
    assert same(data.val_dataloader(), image_folder(folder, seed=9).val_dataloader())


def test_folder_training_crops_are_torchvisions_with_each_pictures_own_stream(
    folder: Path, image_folder: Callable[..., ImageFolder]
) -> None:
    data = image_folder(folder)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    order = sampler_like(loader.sampler, 2)
    crop = v2.Compose([v2.RandomResizedCrop(16, scale=(0.3, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    for (images, labels), index in zip(loader, order, strict=True):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        for image, label, n in zip(images, labels.tolist(), index.tolist(), strict=True):
            path, expected_label = data._files[data._train[n]]
            torch.manual_seed(stream(3, "augment", 2, n).initial_seed())
            assert torch.equal(image, crop(Image.open(path).convert("RGB"))) and label == expected_label


def sampler_like(other: EpochSampler, epoch: int) -> list[Tensor]:
    one = EpochSampler(other.count, other.batch_size, seed=other.seed, training=True, rank=0, world_size=1)
    one.set_epoch(epoch)
    return list(one)


def epochs(data: ImageFolder, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    loader = data.train_dataloader()
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        yield from map(tuple, loader)


def test_workers_change_nothing_not_even_the_global_generator(
    folder: Path, image_folder: Callable[..., ImageFolder], same: Callable[..., bool]
) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    alone = list(epochs(image_folder(folder), 2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert same(alone, epochs(image_folder(folder, num_workers=2), 2))
    assert len(alone) == 6 and not same(alone[:3], alone[3:])
    data = image_folder(folder, num_workers=2)
    assert same(data.test_dataloader(), image_folder(folder).test_dataloader())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_folder_epoch_goes_on_from_its_batch(
    folder: Path, num_workers: int, image_folder: Callable[..., ImageFolder], same: Callable[..., bool]
) -> None:
    batches = list(epochs(image_folder(folder), 2))
    stopped = image_folder(folder, num_workers=num_workers).train_dataloader()
    next(iter(stopped))
    assert stopped.state_dict() == {"epoch": 0, "batch": 1}  # though workers fetched ahead
    resumed = image_folder(folder, num_workers=num_workers).train_dataloader()
    resumed.load_state_dict(stopped.state_dict())
    iterator = iter(resumed)
    resumed.sampler.set_epoch(0)
    tail = list(iterator)
    assert resumed.state_dict() == {"epoch": 0, "batch": 3}
    resumed.sampler.set_epoch(1)
    assert same(tail + list(resumed), batches[1:])


def test_a_labelled_test_folder_is_the_test_set(
    folder: Path, tmp_path: Path, image_folder: Callable[..., ImageFolder]
) -> None:
    (tmp_path / "train").symlink_to(folder / "train")
    (tmp_path / "val").symlink_to(folder / "val")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "unlabelled.jpg").touch()  # as ImageNet's own
    assert image_folder(tmp_path).test_size == 9
    for name in ("ant", "bee", "cat"):
        (tmp_path / "test" / name).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / "test" / name / "0.png")
    assert image_folder(tmp_path).test_size == 3


def test_grey_pictures_and_the_folders_checksum(
    folder: Path, tmp_path: Path, image_folder: Callable[..., ImageFolder]
) -> None:
    grey = image_folder(folder, channels=1, mean=[0.5], std=[0.5])
    assert next(iter(grey.train_dataloader()))[0].shape == (8, 1, 16, 16)
    lines = sorted(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n" for path in folder.glob("*/*/*"))
    assert grey.checksum() == hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_classes": 1000}, "data.num_classes=3"),
        ({"root": None}, "data.root is empty"),
        ({"root": "no/such/folder"}, "no/such/folder/train.*data.root"),
        ({"batch_size": 30}, "training set: 29 images"),
        ({"channels": 4, "mean": [0] * 4, "std": [1] * 4}, "data.channels=4"),
        ({"crop_fraction": 0}, "data.crop_fraction"),
        ({"crop_scale": [0.5, 0.2]}, "data.crop_scale"),
    ],
)
def test_wrong_folders_are_named(
    folder: Path, changes: dict, words: str, image_folder: Callable[..., ImageFolder]
) -> None:
    with pytest.raises(InputError, match=words):
        image_folder(folder, **changes)


def test_train_and_test_folders_must_have_the_same_classes(
    folder: Path, tmp_path: Path, image_folder: Callable[..., ImageFolder]
) -> None:
    (tmp_path / "train").symlink_to(folder / "train")
    for name in ("ant", "bee", "dog"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "val" / name / "0.png")
    with pytest.raises(InputError, match="cat, dog"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="val"):
        (tmp_path / "val" / "ant" / "0.png").unlink()
        image_folder(tmp_path)


def test_the_kinds_of_pictures_are_those_of_torchvision():
    assert pictures.EXTENSIONS == IMG_EXTENSIONS
