"""Images as Lightning data modules: small data sets in the accelerator's memory, large ones in a folder of files."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ablate.errors import InputError, say
from ablate.training.images import files, memory, pictures
from ablate.training.images.common import Images
from ablate.training.images.loaders import DeviceLoader, FolderLoader, Pictures
from ablate.training.images.memory import DataSet
from ablate.training.sources import Source


class InMemoryImages(Images):
    """A small data set that is kept whole on the accelerator, as uint8 or float32, and augmented there.

    source  root -> Source
    shift   each training image is moved by up to this many pixels in each direction
    images  the arguments of Images
    """

    def __init__(self, *, source: Callable[[str | None], Source], shift: int, **images: Any) -> None:
        super().__init__(**images)
        if shift < 0:
            raise InputError(f"data.shift={shift}: use a number of pixels from 0 up.")
        self.source, self.shift = source, shift
        self._data: DataSet | None = None
        self.of_bytes = True

    def prepare_data(self) -> None:
        self._read()  # Lightning calls this in one process, before `setup`: the data are downloaded once

    def setup(self, stage: str | None = None) -> None:
        data = self._read()
        if data.train_images.shape[1] != self.channels:
            found = data.train_images.shape[1]
            raise InputError(f"The images have {found} channels, data.channels={self.channels}: use {found}.")
        if self.shift >= (side := min(data.train_images.shape[2:])):
            raise InputError(f"data.shift={self.shift} moves images of {side} pixels out of view: use a smaller one.")
        self._split(len(data.train_labels), memory.classes(data, self.num_classes))
        self.of_bytes = data.train_images.dtype == torch.uint8
        if self.mean is None or self.std is None:
            self.mean, self.std = moments(data.train_images[self._train])
        self._normalise_by(self.mean, self.std, self.of_bytes)

    def state_dict(self) -> dict[str, Any]:
        """The position in the training data, and how images are normalised, which you need to use the network, with
        the range of their values before that."""
        how = {"mean": list(self.mean or ()), "std": list(self.std or ()), "of_bytes": self.of_bytes}
        return super().state_dict() | how | {"range": list(self._data_set().range)}

    @property
    def labels(self) -> Tensor:
        return self._read().train_labels

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
            self._data = memory.read(self.source, self.root)
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


def moments(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of `images` (count, channels, height, width), equal on every machine.

    Bytes are scaled to [0, 1], floats are used as they are. Raises InputError for a channel that is constant.
    """
    columns = [channel.reshape(-1).numpy() for channel in images.unbind(1)]
    if images.dtype == torch.uint8:
        counts = [np.bincount(column, minlength=256) for column in columns]
        values = np.arange(256) / 255
        means = [float(count @ values / count.sum()) for count in counts]
        stds = [math.sqrt(c @ (values - m) ** 2 / c.sum()) for c, m in zip(counts, means, strict=True)]
    else:
        means = [float(column.mean(dtype=np.float64)) for column in columns]
        stds = [float(column.std(dtype=np.float64)) for column in columns]
    for channel, std in enumerate(stds):
        if std == 0:
            raise InputError(
                f"Channel {channel} of the training images is {means[channel]:g} everywhere: leave it out, or set"
                " data.mean and data.std."
            )
    return means, stds


class ImageFolder(Images):
    """Image files in ImageNet's layout: root/train/<class>/…, root/val/<class>/….

    The test set is root/test if that exists, else root/val, on which papers report. The validation set is always a
    part of root/train. pictures.py decides which files are read, and how.

    crop_scale     (least, most): in training, a random crop of this share of the area, with an aspect ratio from 3/4 to
                   4/3, resized to image_size, and mirrored half of the time if `flip`
    crop_fraction  in evaluation, the central square of this share of the shorter side (224/256 in the papers)
    num_workers    processes that read files
    images         the arguments of Images
    """

    def __init__(self, *, crop_scale: Sequence[float], crop_fraction: float, num_workers: int, **images: Any) -> None:
        from torchvision.transforms import v2  # takes a second, which data in memory need not wait for

        super().__init__(**images)
        if self.channels not in (1, 3):
            raise InputError(f"data.channels={self.channels}: image files are read as 1 (grey) or 3 (colour).")
        if not 0 < crop_fraction <= 1 or not 0 < crop_scale[0] <= crop_scale[1] <= 1:
            raise InputError("data.crop_fraction and data.crop_scale=[least,most] are shares up to 1, such as 0.875.")
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
        if not self.trainer or self.trainer.is_global_zero:  # other ranks read the same files
            self._checksum = pictures.checksum(root, [path for path, _ in train.samples + test.samples])
            pictures.say_left_out(root, train.left_out + test.left_out)
            say(
                f"{root}: {self.train_size:,} images to train on and {self.val_size:,} for validation"
                f" ({self.val_fraction:.3g} of them, data.val_fraction), all from {root / 'train'}; the test set are"
                f" {len(test.samples):,} from {test_folder}."
            )
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
