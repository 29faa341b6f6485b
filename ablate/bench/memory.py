"""Peak memory of a run, compared with a plain training loop of torchvision's model of the same network.

Each runs in its own process, in the same precision. On a CPU the peak is that of the resident set. It includes imports
(in a run, Lightning, W&B and metrics; in the plain loop, torch and torchvision), but not W&B's own process. On a GPU it
is the peak that torch has allocated, including the run's images. So that imports count where they belong, this module
imports things where they are used.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F

TITLE = "peak memory / torchvision's model trained plainly"
GOAL = "<= 1.0"
ROUNDS = 1
BATCHES, EPOCHS = 2, 6  # 12 steps: two of them record the weights, for which they are copied
# model, image size, batch size
NETWORKS = {"cpu": ("resnet18", 224, 32), "gpu": ("resnet50", 224, 128)}
CLASSES = 1000


def compare(overrides: Sequence[str], rounds: int | None = None) -> Iterator[dict[str, Any]]:
    """Two rows: the run's peak divided by the plain loop's, in total, and without the memory used before training."""
    from ablate.bench import paired
    from ablate.training import build
    from ablate.training.gradients.norms import GradientNorms
    from ablate.training.gradients.recorder import CAPACITY

    accelerator = paired.prepared(overrides, ["model=resnet18"]).cfg.trainer.accelerator
    model, size, batch = NETWORKS[accelerator]
    typed = [*overrides, *own(model, size, batch)]
    chosen = paired.prepared(overrides, own(model, size, batch))
    plainly = {
        "model": model,
        "size": size,
        "batch": batch,
        "threads": chosen.cfg.threads,
        "device": "cuda" if accelerator == "gpu" else "cpu",
        "bf16": chosen.cfg.trainer.precision == "bf16-mixed",
        "lr": chosen.cfg.optimizer.lr,
    }
    found = paired.in_turns(
        {"run": partial(_measured, "run", typed), "plain": partial(_measured, "plain", plainly)},
        rounds or ROUNDS,
    )
    peak, before = (
        {name: median(child[what] for child in children) / 1e6 for name, children in found.items()}
        for what in ("peak", "before")
    )
    layers = len(GradientNorms(build.initialised_network(chosen.cfg)).layers)
    buffer, copy = CAPACITY * layers * 4 * 8 / 1e6, chosen.cost.params * 4 / 1e6
    what = f"{model}, {size}x{size}, batch {batch}"
    both = list(zip(found["run"], found["plain"], strict=True))
    yield paired.row(
        f"{TITLE}: {what}",
        GOAL,
        [a["peak"] / b["peak"] for a, b in both],
        f"{peak['run']:,.0f} / {peak['plain']:,.0f} MB, {before['run']:,.0f} / {before['plain']:,.0f} of it before"
        f" training; {paired.times(len(both))}",
    )
    yield paired.row(
        f"{TITLE}, of what training adds: {what}",
        GOAL,
        [(a["peak"] - a["before"]) / (b["peak"] - b["before"]) for a, b in both],
        f"the recorder's part at most {buffer:.2f} MB and, in a step that records weights, a copy of {copy:.0f} MB",
    )


def own(model: str, size: int, batch: int) -> list[str]:
    """The run's overrides: the same network as torchvision's, and a few random images."""
    from ablate.bench import images

    return [
        *images.overrides("cifar10", BATCHES * batch, test=2, channels=3, size=size, classes=CLASSES),
        f"model={model}",
        "shortcut=projection",
        "stem=conv7x7_pool",
        f"data.batch_size={batch}",
        "data.shift=0",
        "optimizer=sgd",
        f"trainer.max_epochs={EPOCHS}",
        f"checkpoint.every_n_epochs={EPOCHS}",
        "gradient_norms.pictures=false",
        "tracking=offline",
    ]


def _measured(way: str, argument: Any) -> dict[str, int]:
    """The result of `run(argument)` or `plain(argument)`, called in a new process."""
    command = [sys.executable, "-m", "ablate.bench.memory", way, json.dumps(argument)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def run(overrides: list[str]) -> dict[str, int]:
    """A real run in this process. Returns bytes `before` training and at the `peak`."""
    from ablate.process import lightning

    lightning.load()  # as `train` and the workers of a sweep do

    from ablate.bench import paired
    from ablate.configuration.composition import Composition
    from ablate.configuration.resolvers import register_resolvers
    from ablate.errors import hush
    from ablate.runs import cell

    hush()
    register_resolvers()
    with tempfile.TemporaryDirectory() as folder:
        chosen = cell.prepare(Composition.of([*overrides, f"runs_dir={folder}"]))
        on_gpu = chosen.cfg.trainer.accelerator == "gpu"
        before = peak_bytes(on_gpu)
        paired.trained(chosen)
    return {"before": before, "peak": peak_bytes(on_gpu)}


def plain(settings: dict[str, Any]) -> dict[str, int]:
    """torchvision's model in a plain training loop, in this process. Returns the same as `run`."""
    from torchvision import models

    if settings["threads"] is not None:
        torch.set_num_threads(settings["threads"])
    device, on_gpu = torch.device(settings["device"]), settings["device"] == "cuda"
    before = peak_bytes(on_gpu)
    shape = (BATCHES * settings["batch"], 3, settings["size"], settings["size"])
    images = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(images)) % CLASSES
    network = getattr(models, settings["model"])().to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings["lr"], momentum=0.9, weight_decay=1e-4)
    for _ in range(EPOCHS):
        for pixels, truth in zip(images.split(settings["batch"]), labels.split(settings["batch"]), strict=True):
            with torch.autocast(device.type, torch.bfloat16, enabled=settings["bf16"]):
                loss = F.cross_entropy(network(pixels.to(device) / 255), truth.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {"before": before, "peak": peak_bytes(on_gpu)}


def peak_bytes(on_gpu: bool) -> int:
    """This process's peak resident memory so far, or torch's peak allocation on the GPU."""
    if on_gpu:
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # not getrusage, whose peak may be the parent's
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        ways: dict[str, Callable[[Any], dict[str, int]]] = {"run": run, "plain": plain}
        result = ways[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps(result))
