"""The share of a training step that is spent on images: order, gather, shift and flip, normalising.

A batch's time is the mean over a whole epoch, so that it includes its share of what is drawn once per epoch.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ablate.bench import images, paired
from ablate.bench.by_hand import Loop
from ablate.training.trainer import new_trainer

TITLE = "data and augmentation / step"
GOAL = "<= 0.03"
ROUNDS = 3
STEPS = 10  # trained in each round
EPOCH = 20_000  # images


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """One row: the time for a batch's images, divided by the time of a whole step, by rounds."""
    rounds = rounds or ROUNDS
    own = images.overrides("cifar10", EPOCH, test=1, channels=3, size=32)
    own += ["model=resnet20", "data.batch_size=128", f"trainer.max_epochs={rounds}"]
    cfg = paired.prepared(overrides, own).cfg
    clock = paired.clock(cfg)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(cfg, new_trainer(cfg, Path(folder), [], []))
    loop.step()

    def epoch() -> None:
        for content in loop.data.train_dataloader():
            loop.data.on_after_batch_transfer(content, 0)

    def batch() -> float:
        return paired.seconds(epoch, clock=clock) / (EPOCH // 128)

    def step() -> float:
        return paired.seconds(loop.step, STEPS, clock) / STEPS

    found = paired.in_turns({"batch": batch, "step": step}, rounds)
    yield paired.row(
        f"{TITLE}: ResNet-20, 3x32x32, batch 128",
        GOAL,
        [a / b for a, b in zip(found["batch"], found["step"], strict=True)],
        f"{1000 * min(found['batch']):.2f} ms of {1000 * min(found['step']):.1f} ms; {paired.times(rounds)} of an epoch"
        f" of {EPOCH:,} images and {STEPS} steps",
    )
