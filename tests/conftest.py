"""What all tests share: composed configurations, small cells, and `--long` for tests that take minutes."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

# Read when numpy and torch are imported. Each process of pytest has a core: more threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hydra import initialize_config_dir
from omegaconf import DictConfig

from ablate.configuration.composition import CONF, Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.runs import cell
from tests.browser import browser  # noqa: F401
from tests.compositions import compositions_are_remembered, remembered  # noqa: F401
from tests.simulated_runs import compared, run, simulate  # noqa: F401

# Small enough for a second, large enough to learn: 10 steps an epoch, whatever the defaults are.
SMALL = (
    "model.stages=[1,1,1]",
    "model.widths=[4,8,8]",
    "data.batch_size=128",
    "schedule.warmup.fraction=0.0",
    "trainer=cpu",
    "threads=1",
    "tracking=disabled",
    "gradient_norms.pictures=false",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: --long"))


@pytest.fixture(scope="session")
def compose_cfg() -> Callable[..., DictConfig]:
    """compose_cfg("model=resnet18", …): what conf/ makes of these overrides."""
    register_resolvers()

    def composed(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return remembered("config", overrides=list(overrides))

    return composed


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., cell.Cell]:
    """`prepared("axis=option", …)`: a small cell that would train below the test's own folder."""

    def prepare(*overrides: str, runs: str = "runs") -> cell.Cell:
        register_resolvers()
        keys = {override.split("=")[0] for override in overrides}  # Hydra takes each option only once
        small = [override for override in SMALL if override.split("=")[0] not in keys]
        typed = [*small, f"runs_dir={tmp_path / runs}", *overrides]
        return cell.prepare(Composition.of(typed))

    return prepare


@pytest.fixture(scope="session")
def options() -> Callable[[str], list[str]]:
    """options("norm"): the options of an axis, by the files in its folder."""
    return lambda axis: sorted(path.stem for path in (CONF / axis).glob("*.yaml"))


@pytest.fixture(scope="session")
def write_cifar() -> Callable[[Path, int], None]:
    """write_cifar(root, 10): what data=cifar10 (or, with 100 classes, data=cifar100) finds in data.root=root."""
    return _write_cifar


def _write_cifar(root: Path, classes: int) -> None:
    """Small files with the keys, types and names of the real archives."""
    random = np.random.default_rng(1)
    ten = classes == 10
    folder = root / ("cifar-10-batches-py" if ten else "cifar-100-python")
    folder.mkdir(parents=True)
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"] if ten else ["train", "test"]
    for name in names:
        entry = {
            "data": random.integers(0, 256, (100, 3072), dtype=np.uint8),
            "labels" if ten else "fine_labels": random.permutation(np.arange(100) % classes).tolist(),
            "filenames": [f"{n}.png" for n in range(100)],
        }
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))
    key = "label_names" if ten else "fine_label_names"
    meta = {key: [f"class {n}" for n in range(classes)]}
    (folder / ("batches.meta" if ten else "meta")).write_bytes(pickle.dumps(meta, protocol=2))
