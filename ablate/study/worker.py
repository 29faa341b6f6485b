"""One cell from its overrides, in this process: what every engine's job calls."""

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from ablate.study import cell, commandline
from ablate.study.composition import CONF, Composition


def run_overrides(overrides: list[str]) -> int:
    """Train the cell, unless it has a result. Returns the exit code."""
    commandline.register_resolvers()

    def task() -> None:
        if GlobalHydra.instance().is_initialized():
            _run(overrides)
        else:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                _run(overrides)

    return commandline.guarded(task)


def _run(overrides: list[str]) -> None:
    composed = compose("config", overrides=overrides, return_hydra_config=True)
    cfg = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    hydra_cfg = OmegaConf.masked_copy(composed, ["hydra"])
    OmegaConf.set_readonly(hydra_cfg, False)
    cell.run(cell.prepare(Composition(cfg, hydra_cfg)))
