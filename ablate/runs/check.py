"""Checks that a design keeps the promises of this harness, such as the same numbers for the same seed.

Each promise is tried with a few training steps, in a temporary folder.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from ablate.configuration.composition import Composition
from ablate.errors import InputError, reason
from ablate.process.interrupt import Interrupted, StopRequest, stop_request
from ablate.training import build
from ablate.training.assembly import network
from ablate.training.images.own import Data
from ablate.training.run import Watch, set_numerics, train
from ablate.training.saving.history import read
from ablate.training.saving.resume import Start, start
from ablate.training.saving.staging import Staging
from ablate.training.settings import check_values, resolve_auto

EPOCHS, BATCHES = 2, 3  # of each training
INTERRUPTED_AT = 1  # the batch of the first epoch in which one training is interrupted
LISTED = 5  # parameters named in an answer; the others are only counted
ON_GPU = 1e-3  # relative tolerance: a GPU need not add numbers in the same order twice


@dataclass(frozen=True)
class Answer:
    """A promise, whether the design keeps it, and if not, what was seen instead and what that means for comparisons."""

    promise: str
    kept: bool
    seen: str = ""
    advice: str = ""


def answers(composition: Composition) -> Iterator[Answer]:
    """Try one promise after the other.

    Raises InputError if the design or its data cannot be composed, built or read.
    """
    composition.check_types()
    values = composition.values()
    check_values(values)
    resolve_auto(values)
    cfg = OmegaConf.create(_shortened(values))
    assert isinstance(cfg, DictConfig)
    build.check_recipe(cfg)
    data = build.images(cfg)
    data.prepare_data()
    data.setup("fit")
    set_numerics(cfg)
    on_gpu = cfg.trainer.accelerator == "gpu"
    build.lay_out(data, build.initialised_network(cfg), cfg)  # raises if the network cannot be built
    for promise, seen in _PROMISES.items():
        yield _answered(promise, lambda seen=seen: seen(cfg, data))  # type: ignore[misc]
    with TemporaryDirectory(prefix="ablate-check-") as folder:
        first, second, resumed = (Path(folder) / name for name in ("first", "second", "resumed"))
        yield _answered(_TWICE, lambda: _difference(_trained(cfg, first), _trained(cfg, second), on_gpu))
        yield _answered(_RESUMED, lambda: _difference(_read(first), _interrupted(cfg, resumed), on_gpu))


def _answered(promise: str, seen: Callable[[], str]) -> Answer:
    """The promise is kept if `seen` returns an empty text and raises nothing."""
    try:
        against = seen()
    except Exception as error:  # the user's code may raise anything
        return Answer(promise, False, str(error) if isinstance(error, InputError) else reason(error))
    return Answer(promise, not against, against, _ADVICE[promise] if against else "")


def _shortened(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a training of a few steps, without pictures and a progress bar."""
    limits = {"limit_train_batches": BATCHES, "limit_val_batches": 1, "limit_test_batches": 1}
    trainer = values["trainer"] | {"max_epochs": EPOCHS, "enable_progress_bar": False, **limits}
    norms = {"every_n_steps": 1, "weights_every_n_steps": 0, "series": "few", "pictures": False}
    return values | {"trainer": trainer, "gradient_norms": norms}


def _scores(cfg: DictConfig, data: Data) -> str:
    """In training and evaluation, the network must give a finite number for each image and class."""
    net = build.initialised_network(cfg)
    images, _ = _batch(data)
    wanted = (len(images), int(cfg.data.num_classes))
    for training in (True, False):
        scores = net.train(training)(images)
        mode = "training" if training else "evaluation"
        if not isinstance(scores, Tensor):
            return f"in {mode} it returns {type(scores).__name__}, not a tensor"
        if tuple(scores.shape) != wanted:
            return (
                f"in {mode} the shape is {tuple(scores.shape)} for {len(images)} images and {wanted[1]} classes,"
                f" not {wanted}"
            )
        if not scores.isfinite().all():
            return f"in {mode} some scores are not finite"
    return ""


def _one_image(cfg: DictConfig, data: Data) -> str:
    """The last batch of a validation may have a single image."""
    net = build.initialised_network(cfg).eval()
    images, _ = _batch(data)
    with torch.no_grad():
        scores = net(images[:1])
    return "" if scores.shape[:1] == (1,) and scores.ndim > 1 else f"scores of shape {tuple(scores.shape)}"


def _gradients(cfg: DictConfig, data: Data) -> str:
    """Every parameter must get a gradient within a few steps. One step is not enough: if a branch's last layer starts
    at zero, the layers before it get their first gradient a step later."""
    net = build.initialised_network(cfg).train()
    parameters = {name: p for name, p in net.named_parameters() if p.requires_grad}
    if not parameters:
        return "it has none that is trained"
    optimizer = torch.optim.SGD(parameters.values(), lr=0.01)
    without = set(parameters)
    for batch in _batches(data, BATCHES):
        optimizer.zero_grad()
        _loss(net(batch[0])).backward()
        without -= {name for name, p in parameters.items() if p.grad is not None and p.grad.any()}
        optimizer.step()
    dead = [name for name in parameters if name in without]
    more = f" and {len(dead) - LISTED} more" if len(dead) > LISTED else ""
    return f"none reaches {', '.join(dead[:LISTED])}{more}" if dead else ""


def _loss(scores: Tensor) -> Tensor:
    """A loss to which every score contributes, whatever the scores mean."""
    wanted = torch.randn(scores.shape, generator=torch.Generator().manual_seed(0)).to(scores.device)
    return (scores.float() - wanted).square().mean()


def _draws(cfg: DictConfig, data: Data) -> str:
    """A network must not draw from Python's or NumPy's global generator. It may draw from torch's in training only, as
    dropout does: the run seeds that one, and checkpoints store its state."""
    others = {"Python's": random.getstate, "NumPy's": lambda: str(np.random.get_state())}
    images, _ = _batch(data)

    def drawn(what: str, act: Callable[[], Any], generators: dict[str, Callable[[], Any]]) -> list[str]:
        before = {name: state() for name, state in generators.items()}
        act()
        return [f"{name} generator while {what}" for name, state in generators.items() if state() != before[name]]

    with torch.random.fork_rng(devices=[]):
        found = drawn("it is made", lambda: network(cfg), others)
    net = build.initialised_network(cfg)
    found += drawn("it is trained", lambda: _loss(net.train()(images)).backward(), others)
    torchs = {"torch's": lambda: torch.get_rng_state().tolist()}
    net.eval()
    with torch.no_grad():
        found += drawn("it is evaluated", lambda: net(images), {**others, **torchs})
    return f"it draws from {', '.join(found)}" if found else ""


def _same_batches(cfg: DictConfig, data: Data) -> str:
    """The batches must not depend on what a network has drawn from global generators."""
    batches = []
    for seed in (1, 2):
        fresh = build.images(cfg)
        fresh.prepare_data()
        fresh.setup("fit")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            batches.append(list(_batches(fresh, BATCHES)))
    for number, (one, other) in enumerate(zip(*batches, strict=True), start=1):
        if not all(torch.equal(a, b) for a, b in zip(one, other, strict=True)):
            return f"batch {number} depends on numbers that were drawn from a global generator before"
    return ""


def _batch(data: Data) -> tuple[Tensor, Tensor]:
    return next(_batches(data, 1))


def _batches(data: Data, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first training batches, as a network gets them."""
    for number, batch in enumerate(data.train_dataloader()):
        if number == count:
            break
        yield data.on_after_batch_transfer(batch, 0)


_SHAPE = "scores have the right shape in training and evaluation"
_ONE = "a batch of one image works"
_GRADIENT = "every parameter gets a gradient"
_GLOBAL = "random numbers are torch's, drawn in training alone (as dropout's are)"
_BATCHES = "two designs with one seed see the same batches"
_TWICE = "same seed twice gives equal numbers"
_RESUMED = "interrupted and resumed gives equal numbers"

_PROMISES: dict[str, Callable[[DictConfig, Data], str]] = {
    _SHAPE: _scores,
    _ONE: _one_image,
    _GRADIENT: _gradients,
    _GLOBAL: _draws,
    _BATCHES: _same_batches,
}
_ADVICE = {
    _SHAPE: "A network returns a tensor (images, data.num_classes): one score for each class.",
    _ONE: "An evaluation's last batch may hold one image: keep the first axis, by flatten(1) rather than squeeze().",
    _GRADIENT: "They never learn: use them in forward, leave them out, or set their requires_grad to False.",
    _GLOBAL: "No seed of a run covers these numbers, so nobody can repeat it. Draw with torch, and in training alone.",
    _BATCHES: "What sets two designs apart would be their images too. Let the data draw in their loaders, when an epoch"
    " begins.",
    _TWICE: "Then designs differ by chance even with one seed, and pairing them by seed gains nothing.",
    _RESUMED: "Then an interruption changes the result. What the network counts must be in its buffers, what it draws"
    " be torch's.",
}


class _InterruptedAt(Callback):
    """Asks the run to stop in the first epoch, as Ctrl-C would."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == INTERRUPTED_AT and trainer.current_epoch == 0:
            self.stop.signum = SIGINT


class _Silent(Callback):
    pass


def _trained(cfg: DictConfig, folder: Path) -> dict[tuple[Any, ...], float]:
    """The numbers of a training: losses and gradient norms of every step, metrics of every epoch."""
    (folder / "checkpoints").mkdir(parents=True)
    with stop_request() as stop:
        train(cfg, build.images(cfg), folder, None, Start(), Watch(stop, Staging(folder), progress=lambda _: _Silent()))
    return _read(folder)


def _interrupted(cfg: DictConfig, folder: Path) -> dict[tuple[Any, ...], float]:
    """The numbers of a training that is interrupted and resumed."""
    (folder / "checkpoints").mkdir(parents=True)
    with suppress(Interrupted), stop_request() as stop:
        watch = Watch(stop, Staging(folder), progress=lambda _: _InterruptedAt(stop))
        train(cfg, build.images(cfg), folder, None, Start(), watch)
    begin = start(folder, None, cfg.result == "best")
    if begin.checkpoint is None:
        raise InputError("it left no checkpoint to resume from")
    with stop_request() as stop:
        train(cfg, build.images(cfg), folder, None, begin, Watch(stop, Staging(folder), progress=lambda _: _Silent()))
    return _read(folder)


def _read(folder: Path) -> dict[tuple[Any, ...], float]:
    """Every recorded number, by (name, step, epoch). Raises InputError if nothing was recorded."""
    if not (folder / "metrics.parquet").exists():
        raise InputError("not tried, since the training before it failed")
    metrics, norms = (read(folder / f"{kind}.parquet").to_pylist() for kind in ("metrics", "gradient_norms"))
    found = {(row["name"], row["step"], row["epoch"]): row["value"] for row in metrics}
    return found | {(f"gradient norm of {row['layer']}", row["step"], None): row["norm"] for row in norms}


def _difference(one: dict[tuple[Any, ...], float], other: dict[tuple[Any, ...], float], on_gpu: bool) -> str:
    """The first number that differs, in words; empty if none does."""
    if one.keys() != other.keys():
        return "the two recorded different metrics or steps"
    relative = ON_GPU if on_gpu else 0.0
    for (name, step, _), value in sorted(
        one.items(), key=lambda item: (item[0][1], not item[0][0].startswith("train/"), item[0][0])
    ):
        again = other[name, step, _]
        if not np.isclose(value, again, rtol=relative, atol=0.0, equal_nan=True):
            return f"{name or 'gradient norm'} at step {step} is {value:.7g}, then {again:.7g}"
    return ""
