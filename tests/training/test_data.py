"""Batches: which image, when, how augmented; against torchvision, torch's DataLoader and Lightning."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as VF

from ablate.errors import InputError
from ablate.training.data import ImageFolder, InMemoryImages
from ablate.training.loaders import DeviceLoader, EpochSampler
from ablate.training.seeds import stream
from ablate.training.sources import Source

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "data").glob("*.yaml"))


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


@pytest.fixture(scope="module")
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


# Streams


def test_streams_repeat_and_do_not_coincide() -> None:
    def draw(*key: object) -> tuple[float, ...]:
        return tuple(torch.rand(4, generator=stream(*key)).tolist())

    keys = [(0, "order"), (0, "order", 0), (0, "order", 0, 0), (0, "order", 1), (1, "order"), (0, "augment")]
    assert len({draw(*key) for key in keys}) == len(keys)
    assert draw(7, "order", 3) == draw(7, "order", 3)
    # Of this release: another machine, process or version must draw the same.
    assert stream(7, "order", 3).initial_seed() == 9715180366992300098
    with pytest.raises(InputError, match="seed=-1"):
        stream(-1, "order")


# Which images make a batch


def sampler(count: int, batch: int, training: bool, rank: int = 0, world: int = 1) -> EpochSampler:
    return EpochSampler(count, batch, seed=1, training=training, rank=rank, world_size=world)


@settings(deadline=None)
@given(count=st.integers(1, 60), batch=st.integers(1, 20), world=st.integers(1, 4), epoch=st.integers(0, 3))
def test_the_ranks_together_see_every_batch_once(count: int, batch: int, world: int, epoch: int) -> None:
    for training in (True, False):
        if (training and (batch % world or batch > count)) or min(batch, count) < world:
            continue
        ranks = [sampler(count, batch, training, rank, world) for rank in range(world)]
        alone = sampler(count, batch, training)
        for one in [alone, *ranks]:
            one.set_epoch(epoch)
        shards = [list(one) for one in ranks]
        whole = list(alone)
        assert {len(shard) for shard in shards} == {len(one) for one in ranks} == {len(shards[0])}
        assert all(len(index) for shard in shards for index in shard)
        assert len(whole) == len(alone) == len(list(DataLoader(range(count), batch, drop_last=training)))
        if training:
            for k, index in enumerate(whole):
                assert sorted(index.tolist()) == sorted(torch.cat([shard[k] for shard in shards]).tolist())
                assert torch.equal(shards[0][k], index[0::world])
        seen = torch.cat([index for shard in shards for index in shard]).tolist()
        assert len(seen) == len(set(seen)) == (count // batch * batch if training else count)


def test_training_order_is_a_permutation_of_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int, batch: int) -> list[int]:
        one = EpochSampler(60, batch, seed=seed, training=True, rank=0, world_size=1)
        one.set_epoch(epoch)
        return torch.cat(list(one)).tolist()

    first = order(0, 0, 10)
    assert sorted(first) == list(range(60)) != first
    torch.manual_seed(99)
    assert order(0, 0, 10) == first == order(0, 0, 6)
    assert first != order(0, 1, 10) and first != order(1, 0, 10)
    assert torch.cat(list(sampler(25, 10, False))).tolist() == list(range(25))


def test_an_epoch_goes_on_from_its_batch_and_the_next_starts_at_the_first() -> None:
    whole = sampler(50, 8, True)
    whole.set_epoch(4)
    batches = list(whole)
    assert whole.state_dict() == {"epoch": 4, "batch": 6}
    for k in range(7):
        stopped = sampler(50, 8, True)
        stopped.set_epoch(4)
        for _ in zip(range(k), stopped, strict=False):
            pass
        resumed = sampler(50, 8, True)
        resumed.load_state_dict(stopped.state_dict())
        iterator = iter(resumed)  # made before set_epoch, as Lightning does
        resumed.set_epoch(4)
        assert same([[index] for index in iterator], [[index] for index in batches[k:]])
        assert len(list(resumed)) == 6
        resumed.set_epoch(5)
        whole.set_epoch(5)
        assert same([[index] for index in resumed], [[index] for index in whole])
        whole.set_epoch(4)
    # The loaded epoch was over: Lightning names the next one.
    resumed = sampler(50, 8, True)
    resumed.load_state_dict({"epoch": 4, "batch": 6})
    resumed.set_epoch(5)
    assert resumed.first == 0 and len(list(resumed)) == 6


@pytest.mark.parametrize(
    ("count", "batch", "training", "world", "words"),
    [
        (50, 9, True, 2, "data.batch_size=9 does not divide among 2"),
        (50, 1, False, 2, "data.eval_batch_size=1"),
        (1, 8, False, 2, "of 1 images"),
    ],
)
def test_batches_that_do_not_suit_the_ranks(count: int, batch: int, training: bool, world: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sampler(count, batch, training, 0, world)


# Batches on the device


@pytest.mark.parametrize(("channels", "size", "shift", "flip"), [(3, 8, 4, True), (1, 7, 2, False), (3, 5, 0, True)])
def test_each_image_is_torchvisions_crop_and_flip(channels: int, size: int, shift: int, flip: bool) -> None:
    images, labels = pictures(40, channels, size, 2), torch.arange(40)
    order = sampler(40, 8, True)
    loader = DeviceLoader(images, labels, order, seed=1, shift=shift, flip=flip)
    for epoch in range(2):
        order.set_epoch(epoch)
        corners, mirrored = loader.draws(epoch)
        seen = 0
        for batch, numbers in loader:
            for image, n in zip(batch, numbers.tolist(), strict=True):
                padded = VF.pad(images[n], [shift] * 4)
                top, left = corners[n].tolist()
                expected = VF.crop(padded, top, left, size, size)
                assert torch.equal(image, VF.horizontal_flip(expected) if mirrored[n] else expected)
                seen += 1
        assert seen == 40 and mirrored.any() == flip


def test_draws_are_uniform_per_image_and_of_their_own_stream() -> None:
    images, labels = pictures(9000, 1, 2, 0), torch.zeros(9000, dtype=torch.long)
    loader = DeviceLoader(images, labels, sampler(9000, 8, True), seed=1, shift=1, flip=True)
    corners, mirrored = loader.draws(0)
    kinds = torch.bincount(corners[:, 0] * 6 + corners[:, 1] * 2 + mirrored)
    assert len(kinds) == 18 and kinds.min() > 400 and kinds.max() < 600
    assert not torch.equal(corners, loader.draws(1)[0])
    assert torch.equal(corners, loader.draws(0)[0])
    still = DeviceLoader(images, labels, sampler(9000, 8, True), seed=1, shift=0, flip=False)
    assert not still.draws(0)[0].any() and not still.draws(0)[1].any()


def by_label(loader: DeviceLoader) -> dict[int, Tensor]:
    return {int(n): image for images, numbers in loader for image, n in zip(images, numbers, strict=True)}


def test_augmentation_depends_on_neither_batch_nor_rank_nor_resuming() -> None:
    images, labels = pictures(48, 3, 6, 2), torch.arange(48)

    def made(batch: int, rank: int, world: int) -> DeviceLoader:
        order = EpochSampler(48, batch, seed=1, training=True, rank=rank, world_size=world)
        order.set_epoch(2)
        return DeviceLoader(images, labels, order, seed=1, shift=2, flip=True)

    reference = by_label(made(8, 0, 1))
    assert len(reference) == 48
    for loaders in ([made(12, 0, 1)], [made(8, 0, 2), made(8, 1, 2)]):
        seen = {n: image for loader in loaders for n, image in by_label(loader).items()}
        assert seen.keys() == reference.keys() and all(torch.equal(seen[n], reference[n]) for n in seen)

    stopped = made(8, 0, 1)
    iterator = iter(stopped)
    head = [next(iterator), next(iterator)]
    resumed = DeviceLoader(images, labels, sampler(48, 8, True), seed=1, shift=2, flip=True)
    resumed.load_state_dict(stopped.state_dict())
    assert same(head + list(resumed), made(8, 0, 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_sees_the_same_batches() -> None:
    data, remote = in_memory(), in_memory()
    remote.trainer = trainer_stub(torch.device("cuda"))
    batches = list(remote.train_dataloader())
    assert all(tensor.is_cuda for batch in batches for tensor in batch)
    assert same(data.train_dataloader(), [[tensor.cpu() for tensor in batch] for batch in batches])
    ours, theirs = (
        d.on_after_batch_transfer(b, 0)[0] for d, b in ((data, [t.cpu() for t in batches[0]]), (remote, batches[0]))
    )
    torch.testing.assert_close(theirs.cpu(), ours)


# Data modules


def trainer_stub(device: torch.device, rank: int = 0, world: int = 1) -> SimpleNamespace:
    strategy = SimpleNamespace(root_device=device)
    return SimpleNamespace(strategy=strategy, global_rank=rank, world_size=world)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_makes_a_data_module(path: Path) -> None:
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


def test_splits_are_disjoint_complete_and_fixed() -> None:
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


def test_the_seed_decides_the_training_batches() -> None:
    assert same(in_memory().train_dataloader(), in_memory().train_dataloader())
    assert not same(in_memory().train_dataloader(), in_memory(seed=4).train_dataloader())


def test_two_ranks_make_the_global_batch() -> None:
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
def test_normalising_equals_torchvisions(image_size: int, channels_last: bool) -> None:
    data = in_memory(image_size=image_size, channels_last=channels_last)
    images, labels = next(iter(data.test_dataloader()))
    got, got_labels = data.on_after_batch_transfer((images, labels), 0)
    expected = VF.normalize(VF.to_dtype(images, torch.float32, scale=True), COMMON["mean"], COMMON["std"])
    expected = VF.resize(expected, [image_size, image_size], antialias=True)
    torch.testing.assert_close(got, expected, atol=2e-6, rtol=1e-5)
    assert got.dtype == torch.float32 and got_labels is labels
    assert got.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_checksum_changes_with_any_pixel() -> None:
    def touched(root: str | None) -> Source:
        source = small_source(root)
        source.test_images[3, 1, 2, 2] ^= 1
        return source

    assert in_memory().checksum() == in_memory(seed=9, batch_size=2).checksum()
    assert in_memory().checksum() != in_memory(source=touched).checksum()
    assert len(in_memory().checksum()) == 16


def test_the_source_is_read_once() -> None:
    read = []
    data = InMemoryImages(**COMMON, source=lambda root: read.append(root) or small_source(root), shift=1)
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
def test_wrong_values_are_named(changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        in_memory(**changes)


# Folders of files


def reference_pixels(path: str, size: int) -> Tensor:
    """The papers' evaluation crop, by torchvision's transforms."""
    crop = v2.Compose([v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size), v2.PILToTensor()])
    return crop(Image.open(path).convert("RGB"))


def test_folder_splits_and_evaluation_crops(folder: Path) -> None:
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


def test_folder_training_crops_are_torchvisions_with_each_pictures_own_stream(folder: Path) -> None:
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


def test_workers_change_nothing_not_even_the_global_generator(folder: Path) -> None:
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
def test_a_folder_epoch_goes_on_from_its_batch(folder: Path, num_workers: int) -> None:
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


def test_a_labelled_test_folder_is_the_test_set(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(folder / "train")
    (tmp_path / "val").symlink_to(folder / "val")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "unlabelled.jpg").touch()  # as ImageNet's own
    assert image_folder(tmp_path).test_size == 9
    for name in ("ant", "bee", "cat"):
        (tmp_path / "test" / name).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / "test" / name / "0.png")
    assert image_folder(tmp_path).test_size == 3


def test_grey_pictures_and_the_folders_checksum(folder: Path, tmp_path: Path) -> None:
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
def test_wrong_folders_are_named(folder: Path, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        image_folder(folder, **changes)


def test_train_and_test_folders_must_have_the_same_classes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(folder / "train")
    for name in ("ant", "bee", "dog"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "val" / name / "0.png")
    with pytest.raises(InputError, match="cat, dog"):
        image_folder(tmp_path)
    with pytest.raises(InputError, match="val"):
        (tmp_path / "val" / "ant" / "0.png").unlink()
        image_folder(tmp_path)


# In Lightning


class Recorder(pl.LightningModule):
    """Keeps (epoch, sum of the batch) of every training batch; stops the process at batch `crash`, if any."""

    def __init__(self, crash: int | None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.crash, self.seen = crash, []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        if len(self.seen) == self.crash:
            raise KeyError("stopped here")
        images, labels = batch
        assert images.dtype == torch.float32
        self.seen.append(
            (self.current_epoch, (images.double().square() * (1 + labels[:, None, None, None])).sum().item())
        )
        return self.layer(images.mean().view(1, 1)).sum()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val", batch[1].float().mean(), batch_size=len(batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


def fit(data: pl.LightningDataModule, folder: Path, crash: int | None, ckpt: str | None, **when: object) -> list:
    module = Recorder(crash)
    callback = ModelCheckpoint(folder, save_last=True, save_top_k=-1, **when)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with contextlib.suppress(KeyError):
        trainer.fit(module, datamodule=data, ckpt_path=ckpt)
    return module.seen


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["memory", "folder"])
@pytest.mark.parametrize(
    ("when", "crash"),
    [
        ({"every_n_train_steps": 1}, 3),
        ({"every_n_train_steps": 1}, 10),
        ({"every_n_epochs": 1}, 10),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 10),
        ({"every_n_epochs": 1, "save_on_train_epoch_end": True}, 11),
    ],
    ids=["step", "last-step", "validation", "epoch-end", "lost-batch"],
)
def test_lightning_goes_on_from_a_checkpoint_bit_for_bit(
    tmp_path: Path, folder: Path, kind: str, when: dict, crash: int
) -> None:
    def made() -> pl.LightningDataModule:
        return in_memory() if kind == "memory" else image_folder(folder, batch_size=5)

    whole = fit(made(), tmp_path / "whole", None, None)
    steps = 5
    assert len(whole) == 3 * steps and [epoch for epoch, _ in whole] == [0] * 5 + [1] * 5 + [2] * 5
    fit(made(), tmp_path / "run", crash, None, **when)
    resumed = fit(made(), tmp_path / "run", None, str(tmp_path / "run" / "last.ckpt"), **when)
    lost = crash % steps if "every_n_epochs" in when else 0
    assert resumed == whole[crash - lost :]
