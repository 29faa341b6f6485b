"""The share of this machine's peak FLOP/s that a training step achieves.

A step counts 2 operations for each multiply-add of convolutions and linear layers, as `describe` counts them, times
three: the backward has one product for the weights and one for the activations. The peak is the rate of one large
square matrix product in the same precision. With one thread on a CPU, rates are per second of processor time, so other
programs hardly matter.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ablate.bench import images, paired
from ablate.bench.by_hand import Loop
from ablate.training.trainer import new_trainer

TITLE = "achieved FLOP/s / those of a large matrix product"
ROUNDS = 3
# model, image size, batch size
NETWORKS = {
    "cpu": (("resnet20", 32, 128), ("resnet18", 224, 16)),
    "gpu": (("resnet20", 32, 128), ("resnet50", 224, 128)),
}
# Rows of the matrices, and how many steps or products are timed together, because single ones are too short on a GPU.
ROWS = {"cpu": 4096, "gpu": 8192}
TOGETHER = {"cpu": 1, "gpu": 10}


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row for each network, by rounds."""
    accelerator = paired.prepared(overrides, ["model=resnet20"]).cfg.trainer.accelerator
    for network in NETWORKS[accelerator]:
        yield _compare(overrides, *network, rounds or ROUNDS)


def _compare(overrides: Sequence[str], model: str, size: int, batch: int, rounds: int) -> dict[str, Any]:
    own = images.overrides("cifar10", batch, test=1, channels=3, size=size)
    chosen = paired.prepared(overrides, [*own, f"model={model}", f"data.batch_size={batch}", "trainer.max_epochs=99"])
    cfg = chosen.cfg
    together, rows = TOGETHER[cfg.trainer.accelerator], ROWS[cfg.trainer.accelerator]
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(cfg, new_trainer(cfg, Path(folder), [], []))
    content = loop.fetch()
    dtype = torch.bfloat16 if loop.low else torch.float32
    left, right = (torch.randn(rows, rows, dtype=dtype, device=loop.device) for _ in range(2))

    clock = paired.clock(cfg)

    def rate(operations: int, do: Callable[[], object]) -> float:
        return operations * together / paired.seconds(do, together, clock)

    def step() -> float:
        return rate(2 * 3 * chosen.cost.macs * batch, partial(loop.train, *content))

    def product() -> float:
        return rate(2 * rows**3, lambda: left @ right)

    step()
    product()
    found = paired.in_turns({"step": step, "product": product}, rounds)
    return paired.row(
        f"{TITLE}: {model}, {size}x{size}, batch {batch}",
        "stated",
        [a / b for a, b in zip(found["step"], found["product"], strict=True)],
        f"{median(found['step']) / 1e9:,.0f} of {median(found['product']) / 1e9:,.0f} GFLOP/s, {cfg.trainer.precision};"
        f" {paired.times(rounds)}",
    )
