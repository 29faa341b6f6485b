"""Small data sets as data modules: splits, checks, normalising."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torchvision.transforms.v2 import functional as VF

from ablate.errors import InputError
from ablate.training.data import InMemoryImages
from ablate.training.sources import Source

PATHS = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))
CONFIGS = [path for path in PATHS if path.stem != "arrays"]  # which has nothing without files of the user's


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_makes_a_data_module(path: Path, pictures: Callable[..., Tensor]) -> None:
    config = OmegaConf.merge({"data": OmegaConf.load(path)}, {"seed": 4, "channels_last": True})
    data = hydra.utils.instantiate(config.data)
    assert data.seed == 4 and data.channels_last and config.data.root == "data"
    batch = pictures(2, data.channels, data.image_size, 0), torch.zeros(2)
    assert data.on_after_batch_transfer(batch, 0)[0].shape == (
        2,
        data.channels,
        data.image_size,
        data.image_size,
    )
    assert path.read_text().startswith("# ")


def test_digits_as_configured() -> None:
    path = next(path for path in CONFIGS if path.stem == "digits")
    config = OmegaConf.merge({"data": OmegaConf.load(path)}, {"seed": 0, "channels_last": False})
    data = hydra.utils.instantiate(config.data)
    data.setup()
    assert (data.train_size, data.val_size, data.test_size) == (1293, 144, 360)
    pixels = data.source(None).train_images / 255
    assert [round(pixels.mean().item(), 4)] == config.data.mean
    assert [round(pixels.std().item(), 4)] == config.data.std


def test_splits_are_disjoint_complete_and_fixed(
    small_source: Callable[..., Source], in_memory: Callable[..., InMemoryImages], same: Callable[..., bool]
) -> None:
    data = in_memory()
    assert (data.train_size, data.val_size, data.test_size) == (90, 10, 23)
    source = small_source(None)
    everything = {image.numpy().tobytes() for image in source.train_images}
    held_out = {image.numpy().tobytes() for images, _ in data.val_dataloader() for image in images}
    still = in_memory(shift=0, flip=False, batch_size=90).train_dataloader()
    trained = {image.numpy().tobytes() for images, _ in still for image in images}
    assert len(trained) == 90 and len(held_out) == 10 and trained | held_out == everything
    assert same(data.val_dataloader(), in_memory(seed=4).val_dataloader())
    assert not same(data.val_dataloader(), in_memory(split_seed=1).val_dataloader())
    tested = list(data.test_dataloader())
    assert [len(labels) for _, labels in tested] == [10, 10, 3]
    assert torch.equal(torch.cat([images for images, _ in tested]), source.test_images)
    assert torch.equal(torch.cat([labels for _, labels in tested]), source.test_labels)


def test_the_seed_decides_the_training_batches(
    in_memory: Callable[..., InMemoryImages], same: Callable[..., bool]
) -> None:
    assert same(in_memory().train_dataloader(), in_memory().train_dataloader())
    assert not same(in_memory().train_dataloader(), in_memory(seed=4).train_dataloader())


def test_two_ranks_make_the_global_batch(
    in_memory: Callable[..., InMemoryImages], trainer_stub: Callable[..., SimpleNamespace]
) -> None:
    whole = list(in_memory().train_dataloader())
    shards = []
    for rank in range(2):
        data = in_memory()
        data.trainer = trainer_stub(torch.device("cpu"), rank, 2)
        shards.append(list(data.train_dataloader()))
    assert len(whole) == len(shards[0]) == len(shards[1]) == 5
    for (images, labels), (even, odd) in zip(whole, zip(*shards, strict=True), strict=True):
        assert torch.equal(images[0::2], even[0]) and torch.equal(images[1::2], odd[0])
        assert torch.equal(labels[0::2], even[1]) and torch.equal(labels[1::2], odd[1])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("image_size", [6, 9, 4])
def test_normalising_equals_torchvisions(
    image_size: int, channels_last: bool, in_memory: Callable[..., InMemoryImages]
) -> None:
    data = in_memory(image_size=image_size, channels_last=channels_last)
    images, labels = next(iter(data.test_dataloader()))
    got, got_labels = data.on_after_batch_transfer((images, labels), 0)
    expected = VF.normalize(VF.to_dtype(images, torch.float32, scale=True), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
    expected = VF.resize(expected, [image_size, image_size], antialias=True)
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=1e-5)
    assert got.dtype == torch.float32 and got_labels is labels
    assert got.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_checksum_changes_with_any_pixel(
    small_source: Callable[..., Source], in_memory: Callable[..., InMemoryImages]
) -> None:
    def touched(root: str | None) -> Source:
        source = small_source(root)
        source.test_images[3, 1, 2, 2] ^= 1
        return source

    assert in_memory().checksum() == in_memory(seed=9, batch_size=2).checksum()
    assert in_memory().checksum() != in_memory(source=touched).checksum()
    assert len(in_memory().checksum()) == 16


def test_the_source_is_read_once(small_source: Callable[..., Source], in_memory: Callable[..., InMemoryImages]) -> None:
    read = []
    data = in_memory(source=lambda root: read.append(root) or small_source(root))
    data.prepare_data()
    for stage in ("fit", "test"):
        data.setup(stage)
        for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
            next(iter(loader))
    assert read == [None] and data.test_size == 23


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 91}, "data.batch_size=91 is larger than the training set: 90 images"),
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"eval_batch_size": -1}, "data.eval_batch_size=-1"),
        ({"num_classes": 7}, "data.num_classes=5"),
        ({"num_classes": 4}, "data.num_classes=5"),
        ({"channels": 1, "mean": [0], "std": [1]}, "have 3 channels"),
        ({"mean": [0.5]}, "data.mean has 1 values for data.channels=3"),
        ({"val_fraction": 0.0}, "data.val_fraction=0.0"),
        ({"val_fraction": 1.0}, "data.val_fraction=1.0"),
        ({"shift": -1}, "data.shift=-1"),
    ],
)
def test_wrong_values_are_named(changes: dict, words: str, in_memory: Callable[..., InMemoryImages]) -> None:
    with pytest.raises(InputError, match=words):
        in_memory(**changes)


@pytest.mark.parametrize(("stray", "words"), [(200, "a label 200 and 6 different labels"), (-1, "labels are -1 to 4")])
def test_a_stray_label_is_no_reason_for_more_classes(
    stray: int, words: str, small_source: Callable[..., Source], in_memory: Callable[..., InMemoryImages]
) -> None:
    def damaged(root: str | None) -> Source:
        source = small_source(root)
        source.test_labels[3] = stray
        return source

    with pytest.raises(InputError, match=words):
        in_memory(source=damaged)
