"""Hydra composes the same options once for all tests of a process: a composition takes a seventh of a second.

What `ablate` composes of the project's own `conf/` is remembered, and values (`key=value`) are set by Hydra's own
function. With a folder of a user's own options, where Hydra runs the application, and in the processes of
tests/process.py, Hydra composes each time.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, open_dict

from ablate.configuration import composition
from ablate.paths import CONF


class Remembered:
    """Hydra's `compose`, which starts from a copy of what it has returned for these options before."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], DictConfig] = {}

    def __call__(self, config_name: str, overrides: list[str], return_hydra_config: bool = False) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        if not _is_ours() or not all(map(_is_plain, parsed)):
            return compose(config_name, overrides, return_hydra_config)
        values = [override for override in parsed if not _is_axis(override.key_or_group)]
        options = [override.input_line for override in parsed if override not in values]
        key = config_name, *options
        if key not in self._known:
            self._known[key] = compose(config_name, options, return_hydra_config=True)
        cfg = copy.deepcopy(self._known[key])
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        if not return_hydra_config:
            with open_dict(cfg):
                del cfg["hydra"]
            return cfg
        cfg.hydra.overrides.task = list(overrides)
        cfg.hydra.job.override_dirname = ",".join(sorted(overrides))
        cfg.hydra.runtime.cwd = str(Path.cwd())
        return cfg


def _is_plain(override: Override) -> bool:
    """Whether it chooses an option of an axis, or sets, adds or deletes one value."""
    key = override.key_or_group
    is_usual = override.type is OverrideType.CHANGE or not _is_axis(key)
    return is_usual and override.package is None and not override.is_sweep_override() and not key.startswith("hydra")


def _is_axis(key: str) -> bool:
    return (CONF / key).is_dir()


def _is_ours() -> bool:
    """Whether Hydra looks for options in conf/ alone, and runs no application."""
    sources = GlobalHydra.instance().config_loader().get_sources()
    return [source.path for source in sources if source.provider not in ("hydra", "schema")] == [str(CONF)]


remembered = Remembered()


@pytest.fixture(scope="session", autouse=True)
def compositions_are_remembered() -> Iterator[Callable[..., DictConfig]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "compose", remembered)
        yield remembered
