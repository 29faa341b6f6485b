"""What all data modules of images share: splits, checks, the order of batches, and normalising on the device."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.errors import InputError, say
from ablate.training.images.loaders import EpochSampler
from ablate.training.seeds import stream

FEW = 50  # with fewer validation images, accuracy is too coarse to choose by


class Images(pl.LightningDataModule):
    """The base of all data modules of images.

    seed           for data order and augmentation
    channels, image_size, num_classes
                   what the network gets; images of another size are resized
    mean, std      for each channel, of bytes scaled to [0, 1] or of floats as they are. None, for data in memory:
                   computed from the training images
    flip           mirror half of the training images
    batch_size, eval_batch_size
                   images of a batch over all ranks
    val_fraction   this share of the training images is the validation set, drawn by `split_seed` alone
    root           the folder of the files
    channels_last  torch's memory format

    A batch reaches the network as float32 (batch, channels, image_size, image_size) and int64 (batch,). Also works
    without a trainer: on the CPU, in a single process.

    Raises InputError for values out of range. `setup` raises it for data that are missing or not as declared.
    """

    def __init__(
        self,
        *,
        seed: int,
        channels: int,
        image_size: int,
        num_classes: int,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        flip: bool,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        split_seed: int,
        root: str | None,
        channels_last: bool,
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if values is not None and len(values) != channels:
                raise InputError(f"data.{name} has {len(values)} values for data.channels={channels}: give one each.")
        if not 0 < val_fraction < 1:
            raise InputError(f"data.val_fraction={val_fraction}: use a number between 0 and 1, such as 0.1.")
        for name, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if value < 1:
                raise InputError(f"data.{name}={value}: use a whole number from 1 up.")
        self.seed, self.channels, self.image_size, self.num_classes = seed, channels, image_size, num_classes
        self.flip, self.root, self.channels_last = flip, root, channels_last
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.val_fraction, self.split_seed = val_fraction, split_seed
        if (mean is None) != (std is None):
            raise InputError("data.mean and data.std: give both, or neither.")
        self.mean, self.std = mean, std
        if mean is not None and std is not None:
            self._normalise_by(mean, std)
        # Positions among the training images, set by `setup`.
        self._train = self._val = torch.empty(0, dtype=torch.int64)
        self._train_sampler: EpochSampler | None = None
        self._resume_at: dict[str, int] | None = None

    def _normalise_by(self, mean: Sequence[float], std: Sequence[float], of_bytes: bool = True) -> None:
        self._scale, self._offset = multiply_add(mean, std, of_bytes)

    @property
    def labels(self) -> Tensor | None:
        """The training labels, if they are known without reading every image; else None."""
        return None

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        return self.train_size // self.batch_size

    def checksum(self) -> str:
        """16 hex digits (SHA-256) that differ for different data."""
        raise NotImplementedError

    def files(self) -> dict[str, Any] | None:
        """What is recorded of the files (`files.seen`), with `contents` if the checksum does not cover those. None if
        the files are not known."""
        return None

    @property
    def train_size(self) -> int:
        return len(self._train)

    @property
    def val_size(self) -> int:
        return len(self._val)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Both tensors, without Lightning's search for tensors in whatever a batch may be."""
        images, labels = batch
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """Bytes become float32: (x / 255 - mean) / std; floats are not divided by 255. Then resize (bilinear,
        antialias)."""
        images, labels = batch
        if self._scale.device != images.device:
            self._scale, self._offset = self._scale.to(images.device), self._offset.to(images.device)
        images = normalised(images, self._scale, self._offset, self.image_size)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, labels

    def _split(self, count: int, num_classes: int) -> None:
        """Set the training and validation positions among `count` training images of the declared classes."""
        if num_classes != self.num_classes:
            raise InputError(
                f"The data have {num_classes} classes, but data.num_classes={self.num_classes}: "
                f"use data.num_classes={num_classes}."
            )
        order = torch.randperm(count, generator=stream(self.split_seed, "validation split"))
        held_out = max(1, round(self.val_fraction * count))
        if held_out < FEW:
            say(
                f"The validation set has {held_out} of {count:,} training images (data.val_fraction="
                f"{self.val_fraction:g}): too few to choose or stop by. Use a larger data.val_fraction."
            )
        if self.batch_size > count - held_out:
            raise InputError(
                f"data.batch_size={self.batch_size} is larger than the training set: "
                f"{count - held_out} images, with {held_out} held out for validation. Use a smaller one."
            )
        self._train, self._val = order[held_out:].sort().values, order[:held_out].sort().values

    def state_dict(self) -> dict[str, Any]:
        """The position in the training data, for the checkpoint.

        Lightning saves it with its loops too. But it does not restore it if the loaders were created before the loops'
        state was loaded, and they are, to count the steps of a schedule.
        """
        return self._train_sampler.state_dict() if self._train_sampler else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resume_at = state_dict if "epoch" in state_dict else None

    def _sampler(self, count: int, *, training: bool) -> EpochSampler:
        sampler = EpochSampler(
            count,
            self.batch_size if training else self.eval_batch_size,
            seed=self.seed,
            training=training,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        if training:
            self._train_sampler = sampler
            if self._resume_at:
                sampler.load_state_dict(self._resume_at)
                self._resume_at = None
        return sampler

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")


def multiply_add(mean: Sequence[float], std: Sequence[float], of_bytes: bool) -> tuple[Tensor, Tensor]:
    """Scale and offset, each (1, channels, 1, 1), such that scale * x + offset is (x / 255 - mean) / std for bytes x,
    and (x - mean) / std for floats."""
    shape = (1, len(mean), 1, 1)
    std_column = torch.tensor(list(std)).view(shape)
    return 1 / ((255 if of_bytes else 1) * std_column), -torch.tensor(list(mean)).view(shape) / std_column


def normalised(images: Tensor, scale: Tensor, offset: Tensor, size: int) -> Tensor:
    """Images (batch, channels, height, width), normalised and resized to `size` x `size` pixels, as float32."""
    images = torch.addcmul(offset, images, scale)
    if images.shape[2:] != (size, size):
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    return images
