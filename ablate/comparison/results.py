"""What runs left in their directories, and by which choices they differ."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ablate.configuration import whole
from ablate.configuration.fingerprint import ADDED, NOT_HASHED, OPTIONS
from ablate.configuration.values import identity, is_inside
from ablate.errors import InputError, bare
from ablate.paths import relative
from ablate.runs import config_file, record
from ablate.runs.record import RunRecord

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """One run: its record, and its resolved configuration, shared by runs that differ in the seed only.

    A comparison asks a run for what is here and knows nothing of where it lies. Runs that lie elsewhere than in a
    directory of this tool's are a subclass (`comparison.elsewhere`).

    directory  that holds its history; None where there is none
    """

    directory: Path | None
    record: RunRecord
    config: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return self.record.fingerprint

    @property
    def seed(self) -> int:
        return self.record.seed

    @cached_property
    def typed(self) -> dict[str, str]:
        """What was typed, by its key, the seed and what cannot change a result left out."""
        typed = {_key(text): text for text in self.record.overrides}
        return {key: text for key, text in typed.items() if key != "seed" and not is_inside(key, NOT_HASHED)}

    @property
    def place(self) -> str | None:
        """Where a person finds the run."""
        return str(relative(self.directory)) if self.directory else None

    @property
    def name(self) -> str:
        """In a few characters."""
        return self.directory.name if self.directory else self.fingerprint

    @property
    def overrides(self) -> tuple[str, ...] | None:
        """What is typed to make the run again; None where it is not made from here."""
        return tuple(self.record.overrides)

    def default(self, key: str) -> Any:
        """What stands for a choice where nobody typed any: the baseline's, if some run has it."""
        options, values = defaults()
        return options[key] if key in options else at(values, key)

    def points(self, name: str, by: str = "epoch") -> "np.ndarray":
        """The metric's curve: (epoch or step, value) rows, by these; finite values only, none where it has none.

        Raises what reading a damaged file raises.
        """
        from ablate.comparison import series  # which takes Arrow

        return series.points(self.directory / "metrics.parquet", name, by) if self.directory else series.NO_POINTS

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Of the record; kept, since a report asks for them once per metric."""
        return self.record.metrics

    def value(self, key: str) -> Any:
        """The option of an axis, or the configuration's value at a dotted key; None where there is neither."""
        choices = self.record.choices
        if key not in choices and key not in self.config and key in OPTIONS:
            return OPTIONS[key]
        return choices[key] if key in choices else at(self.config, key)

    def has(self, key: str) -> bool:
        """Whether the run has such a choice: a network of the user's has no axes but those that its file mentions, and
        a value of one model need not be one of another."""
        model = self.config.get("model")
        if key.startswith("model.") and isinstance(model, dict):
            return key.split(".")[1] in model
        return not whole.concerns(key, whole.absent(self.config))


def read(directory: Path, known: RunRecord | None = None) -> Result | None:
    """The run in `directory`, or None. `known`: its record, where that has been read already.

    Raises InputError where its files cannot be understood.
    """
    try:
        known = known or record.read(directory)
        if known is None and not (directory / "run.json").exists():
            return None
        if known is None or known.lacking:
            raise InputError(
                f"{directory} is not a whole run: its run.json is damaged. Leave it out, or train it again."
            )
        # Parsing takes milliseconds, and a sweep's configurations differ in the seed only, seed by seed.
        text = _without_seed((directory / "config.yaml").read_text(encoding="utf-8"), known)
        return Result(directory, known, _parsed(text))
    except (yaml.YAMLError, OSError, ValueError) as error:
        raise InputError(f"{directory} is not a whole run ({error}): leave it out, or train it again.") from error


def _without_seed(text: str, known: RunRecord) -> str:
    """A configuration without its seed, and without those of the data that follow it, as `vary` says."""
    listed = re.search(r"^vary:\n((?:- \w+\n)+)", text, re.MULTILINE)
    vary = [word for word in listed[1].split() if word != "-"] if listed else ADDED["vary"]
    follows = "order" in vary and not any(_key(typed) == "data.seed" for typed in known.overrides)
    text = re.sub(rf"^{' *' if follows else ''}seed: {known.seed}\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^  split_seed: \d+\n", "", text, flags=re.MULTILINE) if "split" in vary else text


def find(paths: Iterable[Path]) -> list[Result]:
    """The runs at `paths`, each a run's directory or a folder of them, the earliest first.

    What is damaged is left out, with a warning. Raises InputError where nothing else is there.
    """
    found: dict[Path, Result] = {}
    for path in paths:
        own = read(path)
        damaged: list[InputError] = []
        inside = [] if own else [_read_if_whole(child, damaged) for child in _folders(path)]
        results = [result for result in (own, *inside) if result]
        if not results and damaged:
            raise damaged[0]
        for error in damaged:
            log.warning("left out: %s", bare(error))
        if not results:
            raise InputError(
                f"{path}: there is no run. A run's directory holds run.json; --help shows what can be given."
            )
        found |= {result.directory.resolve(): result for result in results if result.directory}
    return sorted(found.values(), key=lambda result: (result.record.started, result.fingerprint))


def _read_if_whole(directory: Path, damaged: list[InputError]) -> Result | None:
    try:
        return read(directory)
    except InputError as error:
        damaged.append(error)
        return None


def varied(results: Sequence[Result]) -> dict[str, list[Any]]:
    """The keys that were typed for at least one run and differ between runs, each with its values.

    An axis counts only where the options stand for different things here: trainer=auto and trainer=cpu need not.
    """
    typed = dict.fromkeys(key for result in results for key in result.typed)
    factors = {}
    for key in typed:
        having = [result for result in results if result.has(key)]
        values = distinct(result.value(key) for result in having)
        if len(values) < 2:
            continue
        is_axis = any(key in result.record.choices for result in having)
        if is_axis and any(key in result.config for result in having):
            meanings = distinct(at(config, key) for config in {id(r.config): r.config for r in having}.values())
            if len(meanings) < 2:
                continue
        made_here = any(result.overrides is not None for result in having)
        factors[key] = sorted(values, key=_order) if made_here else values  # or as the table has them
    return factors


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each different value once, in the order of its first appearance; lists and mappings compare by content."""
    return list({identity(value): value for value in values}.values())


def at(config: dict[str, Any], key: str) -> Any:
    """The value at a dotted key, or None; for a key that the run is older than, the value that stands for it."""
    value: Any = config
    for part in key.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return ADDED.get(key)
    return value


def differences(
    config: dict[str, Any], other: dict[str, Any], besides: Iterable[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Where two configurations differ, by dotted key, `besides` and what cannot change a result left out."""
    left_out = (*NOT_HASHED, "seed", *besides)
    absent = whole.absent(config) | whole.absent(other)  # parts that one of the two networks does not have

    def walk(a: Any, b: Any, path: str) -> Iterable[tuple[str, tuple[Any, Any]]]:
        if path and is_inside(path, left_out):
            return
        if isinstance(a, dict) and isinstance(b, dict):
            for key in dict.fromkeys([*a, *b]):
                if not path and key in absent:
                    continue
                place = f"{path}.{key}" if path else str(key)
                yield from walk(a.get(key, ADDED.get(place)), b.get(key, ADDED.get(place)), place)
        elif a != b:
            yield path, (a, b)

    return {} if config is other else dict(walk(config, other, ""))


@cache
def defaults() -> tuple[dict[str, str | None], dict[str, Any]]:
    """The option of every axis, and the configuration, where nothing is typed."""
    from omegaconf import OmegaConf

    from ablate.configuration.composition import axes, composed

    cfg = composed([])
    values = OmegaConf.to_container(cfg)
    assert isinstance(values, dict)
    return axes(cfg), {str(key): value for key, value in values.items()}


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise InputError(f"{path}: there is no such file or folder.")
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _order(value: Any) -> tuple[Any, ...]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (1, 0, str(value))


@cache
def _key(override: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return str(OverridesParser.create().parse_override(override).key_or_group)
    except HydraException as error:
        raise InputError(f"{override!r} is no override: {error}") from error


@cache
def _parsed(text: str) -> dict[str, Any]:
    return config_file.parsed(text) or {}
