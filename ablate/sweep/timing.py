"""Estimates how long a training takes, from a few steps on random images."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from ablate.training import build
from ablate.training.assembly import part
from ablate.training.epoch import limited
from ablate.training.images.common import Images
from ablate.training.images.foreign import Foreign
from ablate.training.module import decayed_groups
from ablate.training.sources import without_download

# So many steps at least, and for so many seconds: beside other programs one step says little.
TIMED_STEPS, TIMED_SECONDS = 3, 1.0

# The precisions with mixed types, and the second of these. A GPU's steps with a loss scaler are timed without it.
MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

# The cost of a forward, relative to forward and backward: the backward has two matrix products for each in the forward.
VALIDATION = 1 / 3


@dataclass(frozen=True)
class Training:
    """A few steps of a cell's training. step: does one on random images, forward, backward and optimizer; on a GPU it
    may return before the work is done. images: the cell's data, set up."""

    step: Callable[[], None]
    images: Images


def timed(values: dict[str, Any]) -> float | None:
    """Seconds of training and validation, from the median of a few steps after the first. None if this machine does
    not have the GPU, and for a user's data module, whose batch size is not known. Raises what the data raise, also if
    they are not here: nothing is downloaded."""
    on_gpu = values["trainer"]["accelerator"] == "gpu"
    if (on_gpu and not torch.cuda.is_available()) or (found := training(values)) is None:
        return None
    times: list[float] = []
    while len(times) < 1 + TIMED_STEPS or sum(times[1:]) < TIMED_SECONDS:
        start = time.perf_counter()
        found.step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * steps(values, found.images.train_size, found.images.val_size)


def training(values: dict[str, Any], compiled: bool = False) -> Training | None:
    """The training of a cell on this machine's device, ready for its first step, which compiles the network if
    `compiled` and the cell's `compile` say so: that takes long. None for a user's data module. Raises what the data
    raise."""
    cfg = OmegaConf.create(values)
    images = build.images(cfg)
    if isinstance(images, Foreign):
        return None
    with without_download():
        images.setup("fit")
    device = torch.device("cuda" if cfg.trainer.accelerator == "gpu" else "cpu")
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    network = build.initialised_network(cfg).to(device)
    if compiled and cfg.compile is not None:
        network.compile(mode=cfg.compile)
    optimizer = part(cfg.optimizer)(decayed_groups(network, cfg.weight_decay_on))
    batch = torch.randn(cfg.data.batch_size, cfg.data.channels, cfg.data.image_size, cfg.data.image_size, device=device)
    labels = torch.zeros(len(batch), dtype=torch.int64, device=device)
    precision = cfg.trainer.precision

    def step() -> None:
        with torch.autocast(device.type, dtype=MIXED.get(precision), enabled=precision in MIXED):
            loss = F.cross_entropy(network(batch).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Training(step, images)


def steps(values: dict[str, Any], train_size: int, val_size: int) -> float:
    """The cost of a run in training steps; a validation batch counts as the share of a step that it costs."""
    trainer, data = values["trainer"], values["data"]
    training = limited(train_size // data["batch_size"], trainer.get("limit_train_batches"))
    batches = -(-val_size // data["eval_batch_size"])
    of_validation = limited(batches, trainer.get("limit_val_batches")) / max(1, batches) * val_size
    return trainer["max_epochs"] * (training + VALIDATION * of_validation / data["batch_size"])
