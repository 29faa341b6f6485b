"""Which images are in a batch, and the loaders that yield the batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from ablate.errors import InputError
from ablate.training.images import pictures
from ablate.training.seeds import stream


class Progress:
    """The position within an epoch. Lightning calls it as a sampler, and checkpoints store it."""

    def __init__(self) -> None:
        self.epoch = 0
        self.batch = 0  # batches of this epoch yielded so far
        self._continues = False

    @property
    def first(self) -> int:
        """The batch that the next iteration starts with: 0, unless a state was loaded for this epoch."""
        return self.batch if self._continues else 0

    def begin(self) -> int:
        """Start an iteration. Returns the batch that it starts with."""
        first, self._continues = self.first, False
        return first

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch. A loaded epoch continues where it stopped."""
        if epoch != self.epoch:
            self.epoch, self.batch, self._continues = epoch, 0, False

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.batch, self._continues = state["epoch"], state["batch"], True


class EpochSampler(Progress):
    """The batches of an epoch as index tensors. They depend on (seed, epoch) alone, and can start at any batch.

    Training uses a permutation for (seed, epoch) and drops an incomplete last batch. Evaluation uses all images in
    order. `batch_size` counts the images of a batch over all ranks: rank r gets [r::world_size] of every batch, so
    together the ranks see the batches of a single process. No image is duplicated. All ranks must have the same number
    of batches, so if the last evaluation batch has fewer images than ranks, it is joined to the one before.

    Raises InputError for a training batch size that is not a multiple of the ranks, or too few images for them.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, training: bool, rank: int, world_size: int) -> None:
        super().__init__()
        name = "data.batch_size" if training else "data.eval_batch_size"
        if training and batch_size % world_size:
            raise InputError(
                f"{name}={batch_size} cannot be split evenly among {world_size} processes: use a multiple."
            )
        if min(batch_size, count) < world_size:
            raise InputError(f"{name}={batch_size} of {count} images leaves some of {world_size} processes idle.")
        self.count, self.batch_size, self.seed, self.training = count, batch_size, seed, training
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        full, tail = divmod(self.count, self.batch_size)
        return full if self.training else max(1, full + (tail >= self.world_size))

    def __iter__(self) -> Iterator[Tensor]:
        # A generator reads epoch and first batch only at the first `next`. Lightning creates a resumed run's iterator
        # before it calls set_epoch.
        first = self.begin()
        if self.training:
            order = torch.randperm(self.count, generator=stream(self.seed, "order", self.epoch))
        else:
            order = torch.arange(self.count)
        last = len(self) - 1
        for batch in range(first, last + 1):
            self.batch = batch + 1
            start = batch * self.batch_size
            stop = self.count if batch == last and not self.training else start + self.batch_size
            yield order[start:stop][self.rank :: self.world_size]


class Loader:
    """A loader with what Lightning needs: a length, `sampler.set_epoch`, and the state to resume from.

    Not a DataLoader, because Lightning would replace its sampler in a run with several processes.
    """

    batch_sampler = None  # Lightning reads this attribute of every loader that has a sampler

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def state_dict(self) -> dict[str, int]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.load_state_dict(state)


class DeviceLoader(Loader):
    """Batches (images, labels) of a split that is kept on one device, shifted and flipped in one gather.

    images  uint8 or float32 (count, channels, height, width)
    shift   each image is moved by up to this many pixels in each direction (a random crop, padded with zeros)
    flip    mirror each image half of the time

    An image's augmentation depends on (seed, epoch, image) alone, not on its batch, the rank or the device.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, sampler: EpochSampler, *, seed: int, shift: int, flip: bool
    ) -> None:
        super().__init__(sampler)
        height, width = images.shape[2:]
        # Padded once. windows[n, :, dy, dx] is image n cropped at (dy, dx): a view, so a batch is one gather.
        self.windows = F.pad(images, (shift,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        self.labels = labels
        self.seed, self.shift, self.flip = seed, shift, flip

    def draws(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The crop corner, int64 (count, 2), and whether to mirror, bool (count,), for every image in this epoch."""
        generator = stream(self.seed, "augment", epoch)
        corners = torch.randint(2 * self.shift + 1, (len(self.labels), 2), generator=generator)
        mirrored = torch.rand(len(self.labels), generator=generator) < (0.5 if self.flip else 0)
        return _moved(corners, self.labels.device), _moved(mirrored, self.labels.device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        corners, mirrored = self.draws(self.sampler.epoch)
        for index in self.sampler:
            index = _moved(index, self.labels.device)
            images = self.windows[index, :, corners[index, 0], corners[index, 1]]
            if self.flip:
                images = torch.where(mirrored[index, None, None, None], images.flip(3), images)
            yield images, self.labels[index]


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`. To a GPU it is copied from pinned memory, without waiting."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Pictures(Dataset):
    """Image files as (uint8 (channels, height, width), label), indexed by (epoch, position).

    For a file that cannot be read, the InputError is returned: raised in a worker, it would contain a traceback.
    """

    def __init__(
        self,
        samples: Sequence[tuple[str, int]],
        mode: str,
        transform: Callable[[Image.Image], Tensor],
        seed: int,
    ) -> None:
        self.samples, self.mode, self.transform, self.seed = samples, mode, transform, seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int] | InputError:
        epoch, position = key
        path, label = self.samples[position]
        try:
            picture = pictures.read(path, self.mode)
        except InputError as error:
            return error
        # torchvision draws from the global generator: give that the image's own stream for the moment.
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(stream(self.seed, "augment", epoch, position).get_state())
            return self.transform(picture), label


def _batch(items: list[tuple[Tensor, int] | InputError]) -> list[Tensor] | InputError:
    return next((item for item in items if isinstance(item, InputError)), None) or default_collate(items)


class _Keys:
    """A sampler's batches as lists of (epoch, position). Workers need the epoch, because they outlive it."""

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for index in self.sampler:
            yield [(self.sampler.epoch, position) for position in index.tolist()]


class FolderLoader(Loader):
    """Batches (uint8 images, labels) that workers read from files. They do not depend on the number of workers.

    Raises InputError, which names the file, at the batch of a file that cannot be read.
    """

    def __init__(self, pictures: Pictures, sampler: EpochSampler, *, num_workers: int, pin_memory: bool) -> None:
        super().__init__(sampler)
        self.loader = DataLoader(
            pictures,
            batch_sampler=_Keys(sampler),
            collate_fn=_batch,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # without one, each epoch draws a seed from the global generator
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Workers fetch batches in advance; a checkpoint must count those that were yielded.
        for batch, content in enumerate(self.loader, self.sampler.first + 1):
            if isinstance(content, InputError):
                raise content
            self.sampler.batch = batch
            yield tuple(content)
