"""Whole epochs of the default recipe, compared with the usual recipe of tutorials, on images of Fashion-MNIST's size.

The default recipe is a real run: the machine's fastest precision, channels last, images on the device as bytes and
augmented in one gather; with metrics, gradients, W&B offline, validation and a checkpoint. The usual recipe has
float32, NCHW, a DataLoader that makes each image with torchvision's transforms, and reads loss and accuracy at each
step; network, batches and validation are the same. The program's start is not included in either.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ablate.bench import images, paired
from ablate.process import processors
from ablate.training import build
from ablate.training.assembly import part
from ablate.training.run import set_numerics

TITLE = "the default recipe / the usual one: an epoch's images/s"
GOAL = ">= 2"
ROUNDS = 2
EPOCH = 60_000
SHARE = {"cpu": 0.05, "gpu": 1.0}  # the share of an epoch's images that is used, so that it takes seconds
WORKERS = 4  # workers of the usual recipe's loader, if there are that many cores


class Pictures(Dataset):
    """Images as from torchvision's MNIST: each is converted to a PIL image and transformed."""

    def __init__(self, pixels: Tensor, labels: Tensor, transform: Callable[[Image.Image], Tensor]) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index, 0].numpy(), mode="L")), int(self.labels[index])


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row: images/s of the default recipe divided by the usual one's, by rounds."""
    accelerator = paired.prepared(overrides, ["model=resnet20"]).cfg.trainer.accelerator
    count = round(EPOCH * SHARE[accelerator])
    own = images.overrides("fashion_mnist", count, test=128, channels=1, size=28)
    own += ["model=resnet20", "optimizer=sgd", "trainer.max_epochs=1", "tracking=offline"]
    cfg = paired.prepared(overrides, own).cfg

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            chosen = paired.prepared(overrides, [*own, f"runs_dir={folder}"])
            return paired.trained(chosen).cost["seconds"]

    found = paired.in_turns({"ours": ours, "usual": lambda: usual_epoch(cfg)}, rounds or ROUNDS)
    speed = {name: count / sorted(seconds)[len(seconds) // 2] for name, seconds in found.items()}
    yield paired.row(
        f"{TITLE}: ResNet-20, 1x28x28, batch {cfg.data.batch_size}",
        GOAL,
        [usual / ours for ours, usual in zip(found["ours"], found["usual"], strict=True)],
        f"{speed['ours']:.0f} / {speed['usual']:.0f} images/s; {paired.times(len(found['ours']))} of {count:,} images"
        f" ({SHARE[accelerator]:.0%} of an epoch), by the clock",
    )


def usual_epoch(cfg: DictConfig) -> float:
    """Seconds for an epoch of the usual recipe, with the images, network and rates of `cfg`."""
    set_numerics(cfg)
    torch.set_float32_matmul_precision("highest")  # torch's own defaults
    torch.backends.cudnn.allow_tf32 = True
    device = torch.device("cuda" if cfg.trainer.accelerator == "gpu" else "cpu")
    plain = cfg.copy()
    plain.channels_last = False
    network = build.initialised_network(plain).to(device)
    rates = {name: cfg.optimizer[name] for name in ("lr", "momentum", "weight_decay")}
    optimizer = torch.optim.SGD(network.parameters(), **rates)

    source = part(cfg.data.source)(None)
    held_out = round(cfg.data.val_fraction * len(source.train_labels))
    normal = [transforms.ToTensor(), transforms.Normalize(list(cfg.data.mean), list(cfg.data.std))]
    augment = [transforms.RandomCrop(cfg.data.image_size, padding=cfg.data.shift), transforms.RandomHorizontalFlip()]

    def loader(part: slice, transform: list[Any], batch: int, training: bool) -> DataLoader:
        pictures = Pictures(source.train_images[part], source.train_labels[part], transforms.Compose(transform))
        workers = min(WORKERS, processors.usable())
        return DataLoader(pictures, batch, shuffle=training, drop_last=training, num_workers=workers)

    training = loader(slice(held_out, None), augment + normal, cfg.data.batch_size, True)
    validation = loader(slice(held_out), normal, cfg.data.eval_batch_size, False)
    started = time.perf_counter()
    loss_sum, correct = 0.0, 0
    for pixels, labels in training:
        pixels, labels = pixels.to(device), labels.to(device)
        scores = network(pixels)
        loss = F.cross_entropy(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item()
        correct += int((scores.argmax(1) == labels).sum())
    network.eval()
    with torch.no_grad():
        for pixels, labels in validation:
            correct += int((network(pixels.to(device)).argmax(1) == labels.to(device)).sum())
    return time.perf_counter() - started
