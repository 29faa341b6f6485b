"""Images as Lightning data modules: small data sets on the accelerator, large ones in a folder of files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from ablate.errors import InputError
from ablate.training import files, pictures, sources
from ablate.training.loaders import DeviceLoader, EpochSampler, FolderLoader, Pictures
from ablate.training.seeds import stream
from ablate.training.sources import DataSet, Source


class Images(pl.LightningDataModule):
    """What all image data have in common: splits, checks, and normalising on the device.

    seed: of data order and augmentation. channels, image_size, num_classes: what the network is given; other images are
    resized. mean, std: per channel, of pixels scaled to [0, 1]. flip: mirror half of the training images. batch_size,
    eval_batch_size: over all processes. val_fraction of the training images, drawn at random by split_seed alone, is
    the validation set. root: the folder of the files. channels_last: memory format.

    A batch reaches the network as float32 (batch, channels, image_size, image_size) and int64 (batch,).
    Works without a trainer too: then on the CPU as the only process.

    Raises InputError for values out of range, and from `setup` for data that are missing or are not as declared.
    """

    def __init__(
        self,
        *,
        seed: int,
        channels: int,
        image_size: int,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
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
            if len(values) != channels:
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
        std_column = torch.tensor(list(std)).view(1, channels, 1, 1)
        # (x / 255 - mean) / std as one multiply-add of x.
        self._scale = 1 / (255 * std_column)
        self._offset = -torch.tensor(list(mean)).view(1, channels, 1, 1) / std_column
        # Positions among the training images, set by `setup`.
        self._train = self._val = torch.empty(0, dtype=torch.int64)
        self._train_sampler: EpochSampler | None = None
        self._resume_at: dict[str, int] | None = None

    def checksum(self) -> str:
        """16 hex digits that tell one set of files from another (SHA-256)."""
        raise NotImplementedError

    def files(self) -> dict[str, Any] | None:
        """What is put on record of the files (`files.seen`), with `contents` where the checksum is not of those. None
        where nobody knows which they are."""
        return None

    @property
    def train_size(self) -> int:
        return len(self._train)

    @property
    def val_size(self) -> int:
        return len(self._val)

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """uint8 of any size to float32: (x / 255 - mean) / std, resized (bilinear, antialias)."""
        images, labels = batch
        if self._scale.device != images.device:
            self._scale, self._offset = self._scale.to(images.device), self._offset.to(images.device)
        images = torch.addcmul(self._offset, images, self._scale)
        size = (self.image_size, self.image_size)
        if images.shape[2:] != size:
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, labels

    def _split(self, count: int, num_classes: int) -> None:
        """Set the training and validation positions among `count` training images of the declared classes."""
        if num_classes != self.num_classes:
            raise InputError(
                f"The data have {num_classes} classes, data.num_classes={self.num_classes}: "
                f"use data.num_classes={num_classes}."
            )
        order = torch.randperm(count, generator=stream(self.split_seed, "validation split"))
        held_out = max(1, round(self.val_fraction * count))
        if self.batch_size > count - held_out:
            raise InputError(
                f"data.batch_size={self.batch_size} is larger than the training set: "
                f"{count - held_out} images, with {held_out} held out for validation. Use a smaller one."
            )
        self._train, self._val = order[held_out:].sort().values, order[:held_out].sort().values

    def state_dict(self) -> dict[str, int]:
        """The place in the training data, for the checkpoint.

        Lightning saves it with its loops as well, but does not restore it where the loaders were made before
        the loops' state was read, as they are to count the steps of a schedule.
        """
        return self._train_sampler.state_dict() if self._train_sampler else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._resume_at = state_dict or None

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


class InMemoryImages(Images):
    """A small data set, whole on the accelerator as uint8; shifted and flipped there.

    source: called with `root`, returns the Source. shift: pixels. The rest is as in Images.
    """

    def __init__(self, *, source: Callable[[str | None], Source], shift: int, **images: Any) -> None:
        super().__init__(**images)
        if shift < 0:
            raise InputError(f"data.shift={shift}: use a number of pixels from 0 up.")
        self.source, self.shift = source, shift
        self._data: DataSet | None = None

    def prepare_data(self) -> None:
        self._read()  # one process per machine gets here, before `setup` in any: a download happens once

    def setup(self, stage: str | None = None) -> None:
        data = self._read()
        if data.train_images.shape[1] != self.channels:
            found = data.train_images.shape[1]
            raise InputError(f"The images have {found} channels, data.channels={self.channels}: use {found}.")
        if self.shift >= (side := min(data.train_images.shape[2:])):
            raise InputError(f"data.shift={self.shift} moves images of {side} pixels out of sight: use a smaller one.")
        self._split(len(data.train_labels), sources.classes(data, self.num_classes))

    @property
    def test_size(self) -> int:
        return len(self._read().test_labels)

    def checksum(self) -> str:
        return self._data_set().checksum

    def files(self) -> dict[str, Any] | None:
        return self._data_set().files

    def train_dataloader(self) -> DeviceLoader:
        data = self._read()
        return self._loader(data.train_images[self._train], data.train_labels[self._train], training=True)

    def val_dataloader(self) -> DeviceLoader:
        data = self._read()
        return self._loader(data.train_images[self._val], data.train_labels[self._val], training=False)

    def test_dataloader(self) -> DeviceLoader:
        data = self._read()
        return self._loader(data.test_images, data.test_labels, training=False)

    def _read(self) -> Source:
        return self._data_set().source

    def _data_set(self) -> DataSet:
        if self._data is None:
            self._data = sources.read(self.source, self.root)
        return self._data

    def _loader(self, images: Tensor, labels: Tensor, *, training: bool) -> DeviceLoader:
        return DeviceLoader(
            images.to(self._device),
            labels.to(self._device),
            self._sampler(len(labels), training=training),
            seed=self.seed,
            shift=self.shift if training else 0,
            flip=self.flip and training,
        )


class ImageFolder(Images):
    """Image files in ImageNet's layout: root/train/<class>/…, root/val/<class>/….

    The labelled val folder is the test set, as the papers report on it, unless there is root/test/<class>/…;
    the validation set is always cut off train. Training: a random crop of `crop_scale` (least, most) of the
    area at aspect ratio 3/4 to 4/3, resized to image_size, mirrored with `flip`. Evaluation: the central
    square of `crop_fraction` of the shorter side (224/256 in the papers). num_workers: processes that read
    files. Which files are read, and how: see pictures.py.
    """

    def __init__(self, *, crop_scale: Sequence[float], crop_fraction: float, num_workers: int, **images: Any) -> None:
        super().__init__(**images)
        if self.channels not in (1, 3):
            raise InputError(f"data.channels={self.channels}: image files are read as 1 (grey) or 3 (colour).")
        if not 0 < crop_fraction <= 1 or not 0 < crop_scale[0] <= crop_scale[1] <= 1:
            raise InputError("data.crop_fraction and data.crop_scale=[least,most] are parts of 1, such as 0.875.")
        if num_workers < 0:
            raise InputError(f"data.num_workers={num_workers}: use a number of processes, or 0 to read in this one.")
        self.num_workers = num_workers
        self._files: list[tuple[str, int]] = []
        self._test_files: list[tuple[str, int]] = []
        mirror = [v2.RandomHorizontalFlip()] if self.flip else []
        self._augment = v2.Compose(
            [v2.RandomResizedCrop(self.image_size, scale=tuple(crop_scale)), *mirror, v2.PILToTensor()]
        )
        resized = round(self.image_size / crop_fraction)
        self._centre = v2.Compose([v2.Resize(resized), v2.CenterCrop(self.image_size), v2.PILToTensor()])

    def setup(self, stage: str | None = None) -> None:
        if self._files:
            return
        root = self._root()
        train = self._folder(root / "train")
        test_folder = root / "test" if any(root.glob("test/*/")) else root / "val"
        test = self._folder(test_folder)
        if test.classes != train.classes:
            odd = sorted(set(test.classes) ^ set(train.classes))
            raise InputError(f"Classes that {root / 'train'} and {test_folder} do not share: {', '.join(odd[:5])}.")
        self._split(len(train.samples), len(train.classes))
        if not self.trainer or self.trainer.is_global_zero:  # the run's other processes read the same files
            self._checksum = pictures.checksum(root, [path for path, _ in train.samples + test.samples])
            pictures.say_left_out(root, train.left_out + test.left_out)
        self._files, self._test_files = train.samples, test.samples

    @property
    def test_size(self) -> int:
        return len(self._test_files)

    def checksum(self) -> str:
        return self._checksum

    def files(self) -> dict[str, Any]:
        found = files.seen(self.root, ("train", "val", "test"))
        return found | {"contents": files.contents(self._paths(), self._root())}

    def _paths(self) -> list[Path]:
        return [Path(path) for path, _ in sorted(self._files + self._test_files)]

    def train_dataloader(self) -> FolderLoader:
        return self._loader([self._files[n] for n in self._train], self._augment, training=True)

    def val_dataloader(self) -> FolderLoader:
        return self._loader([self._files[n] for n in self._val], self._centre, training=False)

    def test_dataloader(self) -> FolderLoader:
        return self._loader(self._test_files, self._centre, training=False)

    def _root(self) -> Path:
        if self.root is None:
            raise InputError("data.root is empty: name the folder that has train/<class>/ and val/<class>/.")
        return Path(self.root).expanduser()

    def _folder(self, folder: Path) -> pictures.Folder:
        try:
            return pictures.found_in(folder)
        except (OSError, InputError) as error:
            raise InputError(
                f"No images in {folder.absolute()} ({error}). Expected: <data.root>/train/<class>/ and "
                "<data.root>/val/<class>/ with image files in each: set data.root to such a folder."
            ) from error

    def _loader(
        self, files: Sequence[tuple[str, int]], transform: Callable[[Image.Image], Tensor], *, training: bool
    ) -> FolderLoader:
        return FolderLoader(
            Pictures(files, "L" if self.channels == 1 else "RGB", transform, self.seed),
            self._sampler(len(files), training=training),
            num_workers=self.num_workers,
            pin_memory=self._device.type == "cuda",
        )
