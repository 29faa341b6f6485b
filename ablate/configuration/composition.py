"""A configuration as Hydra composes it from what the user typed, and how it differs from the defaults."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from ablate.configuration import agent, variant, whole
from ablate.configuration.fingerprint import BUNDLES, NOT_HASHED
from ablate.configuration.overrides import flattened
from ablate.configuration.rules import is_too_long
from ablate.configuration.schema import WORDS, check_keys
from ablate.configuration.values import at, differing, is_inside, put, word
from ablate.errors import InputError, WrongNameError, raised_within
from ablate.paths import CONF


@dataclass(frozen=True)
class Composition:
    """A composed configuration, and the overrides that it was composed from.

    cfg        the configuration without the key `hydra`
    hydra_cfg  the key `hydra` alone: overrides, chosen options, search path
    """

    cfg: DictConfig
    hydra_cfg: DictConfig

    @classmethod
    def of(cls, overrides: Sequence[str], compose: Callable[[list[str]], DictConfig] | None = None) -> "Composition":
        """Compose `overrides`, by `composed` or what does the same. A `variant=…` is replaced by its overrides."""
        cfg = (compose or composed)(variant.typed(overrides))
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        hydra_cfg = OmegaConf.masked_copy(cfg, ["hydra"])
        OmegaConf.set_readonly(hydra_cfg, False)
        return cls(own, hydra_cfg)

    def with_value(self, key: str, value: int) -> "Composition":
        """The same composition as if `key=value` had been typed too."""
        cfg, hydra_cfg = self.cfg.copy(), self.hydra_cfg.copy()
        cfg[key] = value
        OmegaConf.set_readonly(hydra_cfg.hydra, False)
        hydra_cfg.hydra.overrides.task.append(f"{key}={value}")
        return Composition(cfg, hydra_cfg)

    def values(self) -> dict[str, Any]:
        """The resolved configuration as plain values, without the axes that its network does not have.

        Raises InputError if a value must be read from a file and the file does not have it.
        """
        try:
            values = plain(self.cfg, resolve=True)
        except InterpolationResolutionError as error:
            if message := raised_within(str(error.msg)):
                raise InputError(message) from error
            raise
        values = whole.without(values, self.unused)
        as_words(values, self.overridden)
        return values

    @property
    def overrides(self) -> list[str]:
        """The overrides as typed: `axis=option` and `key=value`."""
        # Not resolved: `${…}` in an override refers to `cfg`, not to `hydra_cfg`.
        typed = OmegaConf.to_container(self.hydra_cfg.hydra.overrides.task)
        assert isinstance(typed, list)
        return typed

    @property
    def search_path(self) -> list[str]:
        """The arguments that add folders of your own options: --config-dir and hydra.searchpath."""
        sources = self.hydra_cfg.hydra.runtime.get("config_sources") or []
        folders = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
        return [*folders, *_search_path(self.hydra_cfg.hydra.overrides.hydra)]

    @property
    def choices(self) -> dict[str, str | None]:
        """The option chosen on each axis, without the axes that the network does not have."""
        return {axis: option for axis, option in axes(self.hydra_cfg).items() if axis not in self.unused}

    @cached_property
    def unused(self) -> frozenset[str]:
        """The axes that the network does not have."""
        return whole.unused(plain(self.cfg, resolve=False))

    @cached_property
    def overridden(self) -> dict[str, str]:
        """The typed overrides by their key."""
        parsed = OverridesParser.create().parse_overrides(self.overrides)
        return {override.key_or_group: text for override, text in zip(parsed, self.overrides, strict=True)}

    @property
    def name(self) -> str:
        """The typed overrides that differ from the defaults and can change the result; `defaults` if there are none."""
        return " ".join(self.differing.values()) or "defaults"

    @cached_property
    def differing(self) -> dict[str, str]:
        """Of the typed overrides, by their key, those that differ from the defaults and can change the result."""
        defaults = self._composed([])
        default_choices = axes(defaults)

        def differs(key: str) -> bool:
            if is_inside(key, NOT_HASHED) or whole.concerns(key, self.unused):
                return False
            if key in self.choices and self.choices[key] == default_choices[key]:
                # It is the default. It still differs if a typed model or experiment would choose another option.
                without = [text for other, text in self.overridden.items() if other != key and other in self.choices]
                return axes(self._composed(without))[key] != self.choices[key]
            if key in self.choices:
                return True
            return OmegaConf.select(self.cfg, key) != OmegaConf.select(defaults, key, default=_MISSING)

        return {key: text for key, text in self.overridden.items() if differs(key)}

    @cached_property
    def changed(self) -> list[str]:
        """The dotted paths of the values that can change the result and are not those of the chosen options, whether
        they were typed or an experiment has set them; and of a network that is a file of its own, what that file
        says."""
        options = {axis: option for axis, option in self.choices.items() if axis not in BUNDLES}
        chosen = [f"{axis}={options[axis]}" for axis in axes(self._composed([])) if options.get(axis) is not None]
        own, here = plain(self._composed(chosen), resolve=False), plain(self.cfg, resolve=False)
        if whole.is_whole(own):
            own["model"] = {key: value for key, value in own["model"].items() if key == "_target_" or _refers(value)}
        return [path for path in differing(here, own, NOT_HASHED) if not whole.concerns(path, self.unused)]

    def _composed(self, overrides: list[str]) -> DictConfig:
        """What Hydra composes from other overrides with the same search path. Do not change it: it is cached."""
        return _known(*_search_path(self.hydra_cfg.hydra.overrides.hydra), *overrides, loader=_loader())

    def without(self, key: str) -> dict[str, Any]:
        """What would have been composed if the override of that key had not been typed, as plain values, resolved."""
        # Composed without the seed, and with it set afterwards: what is composed is kept for a variant's other seeds.
        cfg = self._composed([text for other, text in self.overridden.items() if other not in (key, "seed")])
        own = OmegaConf.masked_copy(cfg, [str(name) for name in cfg if name != "hydra"])
        if key != "seed" and "seed" in self.overridden:
            own["seed"] = self.cfg.seed
        return plain(own, resolve=True)

    def checked(self) -> dict[str, Any]:
        """`values()`, after `check_types()`."""
        self.check_types()
        return self.values()

    def check_types(self) -> None:
        """Check the typed overrides. Raises InputError for

        - a value whose type differs from the one in its option's file (one that is null there may have any type);
        - a key that nothing reads;
        - an axis that the network does not have, unless it is a parameter of a W&B sweep.
        """
        check_keys(plain(self.cfg, resolve=False))
        asked = [key for key in self.overridden if key not in flattened(agent.parameters())]
        whole.check_typed(asked, self.choices.get("model"), self.unused)
        for key, text in self.overridden.items():
            if key in axes(self._composed([])):
                check_option(key, OverridesParser.create().parse_override(text).value())
        own = {key: OmegaConf.select(self.cfg, key, default=_MISSING) for key in self.overridden.keys() - self.choices}
        if not own:
            return  # options alone, or nothing: there is nothing to compare with their files
        reference = self._composed([f"{axis}={option}" for axis, option in self.choices.items() if option is not None])
        for key in self.overridden:
            if own.get(key, _MISSING) is not _MISSING:
                check_type(key, own[key], OmegaConf.select(reference, key, default=None))


@lru_cache(maxsize=16)  # consecutive cells of a sweep ask for the same few
def _known(*overrides: str, loader: ConfigLoader | None) -> DictConfig:
    """`composed`, cached. The loader is part of the key, because it has the search path."""
    return composed(list(overrides))


def _loader() -> ConfigLoader | None:
    """The running Hydra application's config loader: it knows the search path. None if no application is running."""
    return GlobalHydra.instance().config_loader() if GlobalHydra.instance().is_initialized() else None


_MISSING = object()
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.I)


def plain(cfg: DictConfig, resolve: bool) -> dict[str, Any]:
    """The configuration as plain values, without the key `hydra`."""
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    values = OmegaConf.to_container(own, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def as_words(values: dict[str, Any], typed: Mapping[str, str]) -> None:
    """Turn names and folders (`schema.WORDS`) back into the text that was typed: Hydra reads 20240101 and 1_1_1 as
    numbers. Changes `values` in place.

    typed  the overrides by their key
    """
    for path in WORDS:
        value = at(values, path)
        if isinstance(value, list):
            put(values, path, [str(item) if isinstance(item, int | float) else item for item in value])
        elif isinstance(value, int | float):
            put(values, path, typed[path].partition("=")[2] if path in typed else str(value))


def check_option(axis: str, option: Any) -> None:
    """Raise WrongNameError for a list of options: Hydra would merge their values."""
    if isinstance(option, list | ListConfig):
        listed = ", ".join(map(str, option))
        raise WrongNameError(
            f"{axis}=[{listed}]: a run has one option per axis. For one run of each, write {axis}: {{values:"
            f" [{listed}]}} in a sweep file, or -m {axis}={listed.replace(' ', '')} on the command line."
        )


def check_type(key: str, value: Any, default: Any) -> None:
    """Raise InputError if the type of `value` is not that of `default`. A default of null or auto allows any type."""
    may_be_any = default is None or default == "auto" or (value == "auto" and key.startswith("trainer."))
    if not may_be_any and key not in WORDS and not _fits(value, default):
        hint = ""
        if isinstance(value, str) and _NUMBER.fullmatch(value) and isinstance(default, int | float):
            hint = " The value is text, as ${oc.env:NAME} always is: write ${oc.decode:${oc.env:NAME}} for a number."
        raise InputError(
            f"{key}={_shown(value)}: {_kind(default)} is expected, such as the default, {_shown(default)}.{hint}"
        )
    for number in value if isinstance(value, list | ListConfig) else [value]:
        if isinstance(number, float) and not math.isfinite(number):
            raise InputError(f"{key}={value}: a finite number is expected.")
        if isinstance(number, int) and is_too_long(number):
            raise InputError(f"{key}={value}: this number is too large.")


def composed(overrides: list[str]) -> DictConfig:
    """The configuration for `overrides`, with the key `hydra`. If a Hydra application is running, its search path is
    used."""
    if not GlobalHydra.instance().is_initialized():
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return composed(overrides)
    if HydraConfig.initialized() and not _search_path(overrides):
        # The application's loader keeps the rest of its search path, but not this override.
        overrides = [*_search_path(HydraConfig.get().overrides.hydra), *overrides]
    try:
        return compose("config", overrides=overrides, return_hydra_config=True)
    except (ConfigCompositionException, ValueError) as error:
        error.typed = overrides  # type: ignore[union-attr]  # whoever explains it needs to know of what it was made
        raise


def _search_path(overrides: Sequence[str]) -> list[str]:
    """The override that adds folders of your own options, if there is one."""
    return [text for text in overrides if text.startswith("hydra.searchpath=")]


def _refers(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def axes(hydra_cfg: DictConfig) -> dict[str, str | None]:
    """The option chosen on each axis. No recipe is None, whether or not `recipe=none` was typed."""
    choices = {str(axis): option for axis, option in hydra_cfg.hydra.runtime.choices.items()}
    own = {axis: option for axis, option in choices.items() if not axis.startswith("hydra/")}
    return own | {axis: None for axis in BUNDLES if own.get(axis) == "none"}


def _shown(value: Any) -> str:
    """As it is typed: true, not True."""
    return word(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | ListConfig) and isinstance(value, list | ListConfig):
        # A list may hold whole numbers and others, whatever the default holds.
        likes = [float(like) if isinstance(like, int) else like for like in default[:1]]
        return all(_fits(item, like) for item in value for like in likes)
    kinds = (int, str, dict | DictConfig)
    return any(isinstance(default, kind) and isinstance(value, kind) for kind in kinds)


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    if isinstance(value, list | ListConfig):
        inner = {int: " of numbers", float: " of numbers", str: " of words", list: " of lists", ListConfig: " of lists"}
        return "a list" + (inner.get(type(value[0]), "") if value else "")
    return names.get(type(value), "a mapping")
