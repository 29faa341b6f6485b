"""Makes your own Lightning data module usable in a run: reproducible, resumable, and checked for changes."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from ablate.errors import InputError, say
from ablate.training.images import files
from ablate.training.images.loaders import Loader, Progress
from ablate.training.seeds import stream


class DataModule(Protocol):
    """What your data module must have, and what it may have. It is a subclass of LightningDataModule.

    Required: the three loaders below, each with a length. Their batches are (float images (batch, channels, image_size,
    image_size), labels), or whatever your own `module` takes. Its YAML file must have `channels`, `image_size` and
    `num_classes`, in addition to its own arguments.

    Optional, and called as Lightning does: prepare_data(), setup(stage), state_dict(), load_state_dict(state), and the
    three hooks around a batch's transfer to the device. Also optional:

    checksum()  a text that changes when the data change, such as 16 hex digits. Without it a run, finished or resumed,
                does not notice changed data.
    files       a list of the paths that are read. With it, checksum() is only called if one of them has changed.

    Differences from the data modules of this project: you normalise, resize and augment yourself; a run has one
    process; a run that resumes within an epoch loads the epoch's earlier batches again, and skips them.

    The global random generators of torch, NumPy and Python are seeded with `seed` and the epoch for your code. So two
    designs with the same seed see the same batches. But workers that stay alive (persistent_workers) keep their own
    random state: after a resume they draw different numbers.
    """

    def train_dataloader(self) -> Any: ...

    def val_dataloader(self) -> Any: ...

    def test_dataloader(self) -> Any: ...


class Foreign(pl.LightningDataModule):
    """Wraps the user's data module, `inner`, for a run: see DataModule."""

    labels = None  # not known before the first batch

    def __init__(self, inner: pl.LightningDataModule, *, seed: int, root: str | None, num_classes: int) -> None:
        super().__init__()
        self.inner, self.seed, self.root, self.num_classes = inner, seed, root, num_classes
        self._is_set_up: set[str | None] = set()
        self._place = Progress()
        self._state: dict[str, Any] | None = None

    def prepare_data(self) -> None:
        self.inner.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Set up `inner` once for each stage, with the same random numbers in every run, so that splits are equal."""
        if stage in self._is_set_up:
            return
        if self.trainer and self.trainer.world_size > 1:
            raise InputError(
                f"trainer.devices={self.trainer.world_size}: {type(self.inner).__name__} is your own data module, whose"
                " batches cannot be split among processes. Use trainer.devices=1."
            )
        self.inner.trainer = self.trainer
        if not hasattr(self.inner, "checksum"):
            name = f"{type(self.inner).__module__}.{type(self.inner).__name__}"
            say(f"{name} has no checksum(): if the data change, stored runs will not notice.")
        with Draws(stream(0, "setup of data", len(self._is_set_up))).lent():
            self.inner.setup(stage)  # type: ignore[arg-type]
        self._is_set_up.add(stage)

    def checksum(self) -> str:
        """The data module's checksum; empty if it has none."""
        own = getattr(self.inner, "checksum", None)
        return "" if own is None else str(own())

    def files(self) -> dict[str, Any] | None:
        read = getattr(self.inner, "files", None)
        if read is None:
            return None
        places = [files.place(Path(path), self.root) for path in (read() if callable(read) else read)]
        return files.seen(self.root, places)

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        return _length(self.inner.train_dataloader(), "train_dataloader()")

    def train_dataloader(self) -> "ForeignLoader":
        if self._state:
            self._place.load_state_dict(self._state)
            self._state = None
        return ForeignLoader(self.inner.train_dataloader(), self._place, self.seed)

    def val_dataloader(self) -> "ForeignLoader":
        return ForeignLoader(self.inner.val_dataloader(), Progress(), self.seed)

    def test_dataloader(self) -> "ForeignLoader":
        return ForeignLoader(self.inner.test_dataloader(), Progress(), self.seed)

    def teardown(self, stage: str) -> None:
        self.inner.teardown(stage)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.inner.on_before_batch_transfer(batch, dataloader_idx)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return self.inner.transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.inner.on_after_batch_transfer(batch, dataloader_idx)

    def state_dict(self) -> dict[str, Any]:
        return {"place": self._place.state_dict(), "own": self.inner.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict["place"]
        self.inner.load_state_dict(state_dict["own"])


class ForeignLoader(Loader):
    """The batches of the user's loader. Their order depends on (seed, epoch) alone."""

    def __init__(self, loader: Any, place: Progress, seed: int) -> None:
        super().__init__(place)
        self.loader, self.place, self.seed = loader, place, seed
        self.count = _length(loader, "a loader")

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        # A generator, so that the epoch is read at the first `next`: see EpochSampler.
        first = self.place.begin()
        draws = Draws(stream(self.seed, "order", self.place.epoch))
        with draws.lent():
            _reset(self.loader)
            batches = iter(self.loader)
        for number in range(self.count):
            with draws.lent():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            if number >= first:
                self.place.batch = number + 1
                yield batch


class Draws:
    """A separate random state of torch, NumPy and Python for the user's code."""

    def __init__(self, generator: torch.Generator) -> None:
        seed = int(torch.randint(2**31, (), generator=generator))
        self._state: tuple[Tensor, Any, Any] = (
            torch.Generator().manual_seed(seed).get_state(),
            np.random.RandomState(seed).get_state(),
            random.Random(seed).getstate(),
        )

    @contextmanager
    def lent(self) -> Iterator[None]:
        """While the block runs, the global generators have this state. Afterwards they have their own again."""
        before = _states()
        _set_states(self._state)
        try:
            yield
        finally:
            self._state = _states()
            _set_states(before)


def _states() -> tuple[Tensor, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def _set_states(states: tuple[Tensor, Any, Any]) -> None:
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


def _reset(loader: Any) -> None:
    """Seed the loader's own generators for this epoch: their state is not in checkpoints."""
    seed = int(torch.randint(2**31, ()))
    for owner in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)


def _length(loader: Any, what: str) -> int:
    try:
        return len(loader)
    except TypeError as error:
        raise InputError(f"data: {what} has no length. A run needs to know how many batches an epoch has.") from error
