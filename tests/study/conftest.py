from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ablate.study import cell
from ablate.study.commandline import register_resolvers
from ablate.study.composition import CONF, Composition

# Small enough for a second, large enough to learn: 10 steps an epoch.
SMALL = ("model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "threads=1", "tracking=disabled")


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., cell.Cell]:
    """`prepared("axis=option", …)`: a small cell that would train below the test's own folder."""

    def prepare(*overrides: str, runs: str = "runs") -> cell.Cell:
        register_resolvers()
        typed = [*SMALL, f"runs_dir={tmp_path / runs}", *overrides]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            composed = compose("config", overrides=typed, return_hydra_config=True)
        cfg = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
        hydra_cfg = OmegaConf.masked_copy(composed, ["hydra"])
        OmegaConf.set_readonly(hydra_cfg, False)
        return cell.prepare(Composition(cfg, hydra_cfg))

    return prepare
