"""Simulated runs: directories as a training leaves them, with results that a test chooses."""

import copy
import math
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.configuration.composition import axes, composed
from ablate.configuration.resolvers import register_resolvers
from ablate.runs import record
from ablate.runs.provenance import PACKAGES
from ablate.runs.record import RunRecord
from ablate.training.gradients.layers import MATRIX, Layer
from ablate.training.saving.history import RunHistory

PROVENANCE = {
    "python": "3.11.7",
    "packages": dict.fromkeys(PACKAGES, "1.0"),
    "git": {"commit": "0123456789abcdef", "dirty": False},
    "hardware": {"host": "a", "platform": "Linux", "cpu": "CPU A", "cores": 2, "gpus": []},
    "data_checksum": "d1",
    "data_root": "data",
    "data_files": {"places": ["a file"], "listing": None},
    "code": {"a_lab/nets.py": "0123456789abcdef"},
}


@lru_cache
def _defaults() -> tuple[dict[str, Any], dict[str, Any]]:
    register_resolvers()
    both = composed([])
    cfg = OmegaConf.masked_copy(both, [key for key in both if key not in ("hydra", "threads")])
    assert isinstance(cfg, DictConfig)
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    return values, axes(both)


@lru_cache
def _config(typed: tuple[tuple[str, Any], ...]) -> str:
    """The default configuration with the typed values; an axis becomes a note of its option."""
    values, options = _defaults()
    config = copy.deepcopy(values)
    for key, value in typed:
        *parents, last = key.split(".")
        holder = config
        for parent in parents:
            holder = holder.setdefault(parent, {})
        holder[last] = {"_target_": value} if key in options else value
    return yaml.safe_dump(config, sort_keys=False)


def write_run(
    runs: Path,
    typed: dict[str, Any],
    seed: int,
    value: float | None,
    *,
    status: str = "finished",
    epochs: int = 4,
    steps: int = 12,
    layers: int = 12,
    cost: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    history: bool = True,
    directory: Path | None = None,
    **changes: Any,
) -> Path:
    """One run's directory. `typed` are its overrides, `value` its test accuracy; `changes` go into run.json."""
    _, options = _defaults()
    overrides = [f"{key}={item}" for key, item in typed.items()] + [f"seed={seed}"]
    fingerprint = f"{zlib.crc32(repr((overrides, changes, provenance)).encode()):08x}"
    directory = directory or runs / fingerprint
    directory.mkdir(parents=True)
    # data.seed is the run's own too.
    config = re.sub(r"^( *)seed: 0$", rf"\g<1>seed: {seed}", _config(tuple(typed.items())), flags=re.MULTILINE)
    (directory / "config.yaml").write_text(config)
    known: dict[str, Any] = {
        "fingerprint": directory.name,
        "name": " ".join(overrides),
        "status": status,
        "choices": options | {key: item for key, item in typed.items() if key in options},
        "overrides": overrides,
        "seed": seed,
        "summary": {"test/acc": value, "val/acc": value} if value is not None else {},
        "cost": {"params": 1000, "macs": 50_000, "seconds": 10.0} | (cost or {}),
        "provenance": PROVENANCE | (provenance or {}),
        "wandb": {"id": None, "mode": "disabled", "url": None},
        "started": f"2026-01-01T00:00:{seed % 60:02d}+00:00",
        "ended": f"2026-01-01T00:01:{seed % 60:02d}+00:00",
        "resumed": False,
        "gradient_norms": {},
        **changes,
    }
    record.write(directory, RunRecord.of(known))
    if history:
        _write_history(directory, value if value is not None else 0.5, seed, epochs, steps, layers)
    return directory


def _write_history(directory: Path, value: float, seed: int, epochs: int, steps: int, layers: int) -> None:
    """Curves that rise to `value`, gradient norms that fall towards the image, with noise by the seed."""
    noise = np.random.default_rng(seed)
    names = ["stem.conv", *(f"stage1.block{i}.conv1" for i in range(1, layers - 1)), "head.linear"]
    depths = [i / (layers - 1) for i in range(layers)]
    history = RunHistory(directory, layers=[Layer(*both, 100, MATRIX) for both in zip(names, depths, strict=True)])
    for epoch in range(epochs):
        for step in range(epoch * steps, (epoch + 1) * steps):
            loss = 2.3 * math.exp(-step / 20) + 0.05 * noise.random()
            history.log_metrics({"train/loss_step": loss, "lr": 0.1, "epoch": epoch}, step)
        rise = 1 - math.exp(-3 * (epoch + 1) / epochs)
        last = (epoch + 1) * steps - 1
        history.log_metrics({"val/acc": value * rise, "train/loss": 2.3 * (1 - rise), "epoch": epoch}, last)
        norms = np.exp(noise.normal(0, 0.2, (steps, layers)) + 3 * (np.asarray(depths) - 1) * (1.2 - value))
        rms = {"rms": np.ma.array(norms / 10)}
        history.log_gradient_norms(list(range(epoch * steps, (epoch + 1) * steps)), names, depths, norms, rms)
        history.save()
    history.join()
    history.discard_parts()


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Path]:
    """`simulate(runs, {"norm": "none"}, seed, accuracy, …)`: a simulated run below `runs`."""
    return write_run


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """`run({"norm": "none"}, seed, accuracy, …)`: one below the test's own folder `runs`."""
    return lambda typed, seed, value, **changes: write_run(tmp_path / "runs", typed, seed, value, **changes)


@pytest.fixture
def compared(tmp_path):
    """`compared(metric=…)`: what the test has simulated, compared."""
    return lambda **options: from_results(find([tmp_path / "runs"]), "runs", **options)
