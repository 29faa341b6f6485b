"""The command line on data that are not embedded: small files in their real formats, and the real Fashion-MNIST."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import process

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
SMALL = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "trainer.max_epochs=1", "threads=1"]


def trained(folder: Path, *arguments: str) -> dict:
    """The record of the one run that these arguments leave in `folder`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    command = [sys.executable, "-m", "ablate", "tracking=disabled", *arguments]
    run = process.run(command, cwd=folder, env=environment, text=True)
    assert run.returncode == 0, run.stderr
    (record,) = (json.loads(path.read_text()) for path in folder.glob("runs/*/run.json"))
    assert record["status"] == "finished"
    assert f"test accuracy  {100 * record['summary']['test/acc']:.2f}%" in run.stdout
    return record


def test_cifar10(tmp_path, write_cifar):
    write_cifar(tmp_path / "files", 10)
    record = trained(tmp_path, "data=cifar10", "data.root=files", *SMALL)
    assert record["choices"]["data"] == "cifar10"
    assert 0 <= record["summary"]["test/acc"] <= 1 and record["summary"]["val/loss"] > 0


def test_image_folder(tmp_path):
    """ImageNet's layout: colours tell the three classes apart, at two sizes of picture."""
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 10)):
        for channel, name in enumerate(("red", "green", "blue")):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 60, (24 + number % 2 * 10, 30, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(folder / f"{number}.png")
    record = trained(
        tmp_path,
        *("data=image_folder", "data.root=pictures", "data.num_classes=3", "data.image_size=16"),
        *("data.batch_size=12", "data.num_workers=1", "optimizer=adam", "optimizer.lr=0.01"),
        *("model.stages=[1,1,1]", "model.widths=[8,8,8]", "trainer=cpu", "trainer.max_epochs=3", "threads=1"),
    )
    assert record["summary"]["test/acc"] > 0.9


@pytest.mark.long
@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason=f"Debian's dataset-fashion-mnist is not in {FASHION_MNIST}")
def test_fashion_mnist_in_four_epochs(tmp_path):
    arguments = ["data=fashion_mnist", f"data.root={FASHION_MNIST}", "model=resnet20", "trainer.max_epochs=4"]
    assert trained(tmp_path, *arguments)["summary"]["test/acc"] >= 0.9
