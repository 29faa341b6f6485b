"""A folder of a user's own models, and cells of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.runs import cell

PIXELS = {"pixels": 64, "classes": "${data.num_classes}"}
SHAPE = {"channels": "${data.channels}", "size": "${data.image_size}", "classes": "${data.num_classes}"}
MODELS = {
    "perceptron": {"_target_": "tests.whole.their_networks.Perceptron", **PIXELS},
    "mixed": {"_target_": "tests.whole.their_networks.Mixed", **SHAPE, "norm": "${norm}"},
    "noisy": {"_target_": "tests.whole.their_networks.Noisy", **PIXELS},
    "rolling": {"_target_": "tests.whole.their_networks.Rolling", **PIXELS},
    "dead": {"_target_": "tests.whole.their_networks.Dead", **PIXELS},
    **{
        name: {"_target_": f"tests.whole.their_networks.{name.capitalize()}", **PIXELS}
        for name in ("bare", "frozen", "detached", "lazy")
    },
    "empty": {},
    "misspelt": {"_target_": "tests.whole.their_networks.Misspelt", **PIXELS},
    "unbuildable": {"_target_": "tests.whole.their_networks.Unbuildable", **PIXELS},
    "nine": {"_target_": "tests.whole.their_networks.Perceptron", "pixels": 64, "classes": 9},
}
SMALL = [
    *("trainer=cpu", "threads=1", "trainer.max_epochs=2", "trainer.precision=32-true", "data.batch_size=128"),
    *("tracking=disabled", "gradient_norms.pictures=false"),
]


@pytest.fixture(scope="session")
def their_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that they would name by --config-dir."""
    register_resolvers()
    folder = tmp_path_factory.mktemp("theirs") / "conf"
    (folder / "model").mkdir(parents=True)
    for name, values in MODELS.items():
        (folder / "model" / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return folder


@pytest.fixture
def typed(their_conf: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """typed("model=mixed", …): these and what makes a run small."""
    return lambda *more: [
        *(f"hydra.searchpath=[file://{their_conf}]", f"runs_dir={tmp_path / 'runs'}"),
        *(text for text in SMALL if text.split("=")[0] not in {other.split("=")[0] for other in more}),
        *more,
    ]


@pytest.fixture
def their_cell(typed: Callable[..., list[str]]) -> Callable[..., cell.Cell]:
    """their_cell("model=mixed", …): prepared."""
    return lambda *more: cell.prepare(Composition.of(typed(*more)))
