"""Which image, when, how augmented: seeds, samplers and the loader on the device, against torchvision and torch."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import functional as VF

from ablate.errors import InputError
from ablate.training.data import InMemoryImages
from ablate.training.images.loaders import DeviceLoader, EpochSampler
from ablate.training.seeds import stream


def test_streams_repeat_and_do_not_coincide(same: Callable[..., bool]) -> None:
    def draw(*key: object) -> tuple[float, ...]:
        return tuple(torch.rand(4, generator=stream(*key)).tolist())

    keys = [(0, "order"), (0, "order", 0), (0, "order", 0, 0), (0, "order", 1), (1, "order"), (0, "augment")]
    assert len({draw(*key) for key in keys}) == len(keys)
    assert draw(7, "order", 3) == draw(7, "order", 3)
    # Of this release: another machine, process or version must draw the same.
    assert stream(7, "order", 3).initial_seed() == 9715180366992300098
    with pytest.raises(InputError, match="seed=-1"):
        stream(-1, "order")


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


def test_an_epoch_goes_on_from_its_batch_and_the_next_starts_at_the_first(same: Callable[..., bool]) -> None:
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
        (50, 9, True, 2, "data.batch_size=9 cannot be split evenly among 2"),
        (50, 1, False, 2, "data.eval_batch_size=1"),
        (1, 8, False, 2, "of 1 images"),
    ],
)
def test_batches_that_do_not_suit_the_ranks(count: int, batch: int, training: bool, world: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sampler(count, batch, training, 0, world)


@pytest.mark.parametrize(("channels", "size", "shift", "flip"), [(3, 8, 4, True), (1, 7, 2, False), (3, 5, 0, True)])
def test_each_image_is_torchvisions_crop_and_flip(
    channels: int, size: int, shift: int, flip: bool, pictures: Callable[..., Tensor]
) -> None:
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


def test_draws_are_uniform_per_image_and_of_their_own_stream(pictures: Callable[..., Tensor]) -> None:
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


def test_augmentation_depends_on_neither_batch_nor_rank_nor_resuming(
    pictures: Callable[..., Tensor], same: Callable[..., bool]
) -> None:
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
def test_a_cuda_device_sees_the_same_batches(
    in_memory: Callable[..., InMemoryImages], same: Callable[..., bool], trainer_stub: Callable[..., SimpleNamespace]
) -> None:
    data, remote = in_memory(), in_memory()
    remote.trainer = trainer_stub(torch.device("cuda"))
    batches = list(remote.train_dataloader())
    assert all(tensor.is_cuda for batch in batches for tensor in batch)
    assert same(data.train_dataloader(), [[tensor.cpu() for tensor in batch] for batch in batches])
    ours, theirs = (
        d.on_after_batch_transfer(b, 0)[0] for d, b in ((data, [t.cpu() for t in batches[0]]), (remote, batches[0]))
    )
    torch.testing.assert_close(theirs.cpu(), ours)
