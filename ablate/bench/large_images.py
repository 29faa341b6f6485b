"""Large images from files: what decoding costs, and whether the loader or the network is the bottleneck of a run.

Smooth random pictures with noise are written to a temporary folder, as JPEG files of ImageNet's usual size. They are
read as `data=image_folder`, with as many workers as cores. The network alone trains on random images on the device. The
run is a real one; its images/s are measured between its steps.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.callbacks import Callback

from ablate.bench import images, paired
from ablate.process import processors
from ablate.training import build

TITLE = "large images"
# model, batch size, steps of a run
NETWORKS = {"cpu": ("resnet18", 16, 10), "gpu": ("resnet50", 128, 40)}
FILES = {"cpu": 480, "gpu": 6000}
SIZE, CLASSES = 224, 2
WIDTH, HEIGHT = 500, 375  # a usual size in ImageNet
WARM_UP = 2  # batches that are not counted, in which workers and kernels start


class Steps(Callback):
    """Records when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *training: Any) -> None:
        paired.wait()
        self.ends.append(time.perf_counter())


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows of images/s: decoding files one after another, the loader, the network, and both together, once whatever
    `rounds` is."""
    accelerator = paired.prepared(overrides, ["model=resnet18"]).cfg.trainer.accelerator
    model, batch, steps = NETWORKS[accelerator]
    workers = processors.usable()
    trained = [f"model={model}", f"data.batch_size={batch}", f"data.eval_batch_size={batch}", "trainer.max_epochs=1"]
    trained += ["tracking=offline", "gradient_norms.pictures=false", f"+trainer.limit_train_batches={steps}"]
    with tempfile.TemporaryDirectory() as folder:
        written = write_pictures(Path(folder) / "pictures", FILES[accelerator])
        from_files = [*trained, "data=image_folder", f"data.root={written}", f"data.num_classes={CLASSES}"]
        from_files += [f"data.num_workers={workers}", "data.val_fraction=0.05"]
        made = images.overrides("cifar10", steps * batch, test=1, channels=3, size=SIZE, classes=CLASSES)
        cfg = paired.prepared(overrides, from_files).cfg
        decoding = _decoded(cfg, 4 * batch)
        loader = _rates(_ends_of_batches(cfg), batch)
        network = _rates(_ends_of_steps(overrides, [*trained, *made, "data.shift=0", f"runs_dir={folder}/a"]), batch)
        both = _rates(_ends_of_steps(overrides, [*from_files, f"runs_dir={folder}/b"]), batch)
    what = f"{model}, {SIZE}x{SIZE}, batch {batch}"
    size = f"JPEG, {WIDTH}x{HEIGHT}"
    in_one = f"{size}; {1000 / median(decoding):.1f} ms of the processor each"
    for name, values, how in (
        ("decode, crop, resize in one process", decoding, in_one),
        ("loader alone", loader, f"{size}; {workers} workers"),
        ("network alone", network, f"{what}, on the device"),
        ("both together", both, f"{what}, {workers} workers"),
    ):
        yield paired.row(f"{TITLE}, images/s: {name}", "stated", values, how, "images/s")
    yield paired.row(
        f"{TITLE}: together / the slower of the two",
        "stated",
        [rate / min(median(loader), median(network)) for rate in both],
        "on a CPU they share its cores",
    )


def write_pictures(folder: Path, count: int) -> Path:
    """Write `count` files of CLASSES classes for training, and one of each class for the test. Returns the folder."""
    generator = torch.Generator().manual_seed(0)
    for number in range(count + CLASSES):
        split, name = ("train", "val")[number >= count], f"class{number % CLASSES}"
        (folder / split / name).mkdir(parents=True, exist_ok=True)
        coarse = torch.rand(1, 3, 12, 16, generator=generator)
        smooth = F.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")[0]
        noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
        pixels = (255 * noisy.clamp(0, 1)).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / split / name / f"{number}.jpg", quality=90)
    return folder


def _decoded(cfg: Any, count: int) -> list[float]:
    """Images per second of processor time, decoding `count` files in one process: one rate for each quarter."""
    data = build.images(cfg)
    data.setup("fit")
    pictures = data.train_dataloader().loader.dataset
    rates = []
    for part in torch.arange(count).chunk(4):
        start = time.process_time()
        for number in part.tolist():
            pictures[0, number % len(pictures.samples)]
        rates.append(len(part) / (time.process_time() - start))
    return rates


def _ends_of_batches(cfg: Any) -> list[float]:
    """When each batch of an epoch had been loaded and normalised, without training."""
    data = build.images(cfg)
    data.setup("fit")
    ends = []
    for content in data.train_dataloader():
        data.on_after_batch_transfer(content, 0)
        ends.append(time.perf_counter())
    return ends


def _ends_of_steps(overrides: Sequence[str], own: list[str]) -> list[float]:
    steps = Steps()
    paired.trained(paired.prepared(overrides, own), steps)
    return steps.ends


def _rates(ends: list[float], batch: int) -> list[float]:
    """Images/s in each half after the warm-up. Not for single batches, because workers deliver those in bursts."""
    ends = ends[WARM_UP:]
    half = (len(ends) - 1) // 2
    return [batch * half / (ends[half] - ends[0]), batch * half / (ends[2 * half] - ends[half])]
