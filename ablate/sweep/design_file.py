"""Writes a design as a sweep file: a copy of the original file, with its choices combined in one parameter
`variant`."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from ablate.configuration import variant
from ablate.configuration.bulk import Composer
from ablate.configuration.overrides import flattened, override
from ablate.errors import InputError
from ablate.sweep.designs import DESIGNS, Change, folded_screen
from ablate.sweep.file import SweepFile, mapping


@dataclass(frozen=True)
class DesignFile:
    """A new sweep file.

    changes  for each variant, the choices that are not at their first option
    seeds    the number of seeds of each variant
    grid     the number of runs of the full grid
    """

    text: str
    design: str
    choices: dict[str, list[Any]]
    changes: list[Change]
    seeds: int
    grid: int


def made(path: Path, design: str, *, fold_over: bool = False, folder: Sequence[str] = ()) -> DesignFile:
    """The sweep file of a design for the choices in the file at `path`. The method in that file does not matter.

    folder  the override that adds a folder of your own options

    Raises InputError for a file without choices, and what the design itself raises.
    """
    content = {key: value for key, value in mapping(path).items() if key not in ("run_cap", "early_terminate")}
    file = SweepFile.of(path, content | {"method": "grid"})
    if variant.NAME in file.parameters:
        raise InputError(f"{path} already has a parameter {variant.NAME}; a design needs parameters with options.")
    given = {name: values for name, values in file.parameters.items() if isinstance(values, list)}
    choices = {name: values for name, values in given.items() if len(values) > 1 and name != "seed"}
    if not choices:
        raise InputError(f"{path}: no parameter has several values, such as norm: {{values: [batch, none]}}.")
    changes = folded_screen(choices) if fold_over else DESIGNS[design](choices)
    fixed = {name: values for name, values in given.items() if name not in choices}
    constant = {name: values[0] for name, values in fixed.items()}
    variants = _variants(choices, changes, [*folder, *_overrides(constant)])
    seeds = len(fixed.get("seed", [None]))
    head = {key: value for key, value in content.items() if key != "parameters"} | {"method": "grid"}
    source = f"# ablate design {path.name} --{design}{' --fold-over' if fold_over else ''}\n"
    return DesignFile(
        source + _text(head, variants, fixed), design, choices, changes, seeds, prod(map(len, given.values()))
    )


def _variants(choices: dict[str, list[Any]], changes: Sequence[Change], fixed: Sequence[str]) -> list[str]:
    """Each variant as a string: its changes, and those first options that are not the default beside them."""
    composer = Composer()
    written = []
    for change in changes:
        every = {name: change.get(name, options[0]) for name, options in choices.items()}
        rest = dict(every)
        for name in choices:
            if name in change or name.startswith("+"):  # an added key never comes of itself
                continue
            without = {key: option for key, option in rest.items() if key != name}
            if _composed(composer, [*fixed, *_overrides(without)]) == _composed(composer, [*fixed, *_overrides(rest)]):
                rest = without
        written.append(variant.written(flattened(rest)))
    return written


def _composed(composer: Composer, overrides: Sequence[str]) -> Any:
    """The composed values; the overrides themselves if they cannot be composed."""
    try:
        return composer(overrides)
    except (InputError, HydraException, OmegaConfBaseException):
        return list(overrides)


def _overrides(parameters: dict[str, Any]) -> list[str]:
    return [override(name, value) for name, value in flattened(parameters).items()]


def _text(head: dict[str, Any], variants: Sequence[str], fixed: dict[str, list[Any]]) -> str:
    """The file as YAML, with one line for each variant."""
    others = {name: {"values": values} if len(values) > 1 else {"value": values[0]} for name, values in fixed.items()}

    def dumped(values: dict[str, Any]) -> str:
        return "".join(
            _dumped(key, value, None if isinstance(value, dict | list) else False) for key, value in values.items()
        )

    listed = _dumped("parameters", {variant.NAME: {"values": list(variants)}}, False)
    return dumped(head) + listed + textwrap.indent(dumped(others), "  ")


def _dumped(key: str, value: Any, flow: bool | None) -> str:
    """flow: whether collections are written in one line; None: only those that contain no other collection."""
    return yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=flow)
