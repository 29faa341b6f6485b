"""What a run is called where many lie beside each other, in W&B above all: name, group, tags and configuration."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.configuration import agent
from ablate.configuration.overrides import flattened
from ablate.configuration.values import at
from ablate.training.settings import resolve_auto

if TYPE_CHECKING:
    from ablate.runs.cell import Cell

NAME, TAG = 128, 64  # characters of a name or a group, and of a tag, that W&B's server takes
BASELINE = "baseline"
WHOLE = ("recipe", "resolved")  # under one of these names W&B has all of the configuration
TOLD = ("python", "packages", "git", "hardware", "data_checksum")  # of a run's provenance: what reports compare
_VARIABLES = {"name": "WANDB_NAME", "group": "WANDB_RUN_GROUP", "tags": "WANDB_TAGS"}


@dataclass(frozen=True)
class Labels:
    """Name, group and tags are None where W&B takes them from a variable of the environment, WANDB_NAME and the like.

    name      what differs from the defaults, and the seed
    group     the variant: everything but the seed
    tags      the sweep's name and the data set
    config    choices: {axis: option}; seed; by its dotted path each value that is not its option's own; recipe: all of
              the resolved configuration; provenance: code, versions and machine
    """

    name: str | None
    group: str | None
    tags: list[str] | None
    config: dict[str, Any]


def labels(cell: "Cell", provenance: Mapping[str, Any] | None = None) -> Labels:
    """Of the cell's run, whose record has this provenance. What its `tracking` says, or else the environment, takes
    the place of what is made here."""
    variant, seed = variant_of(cell), f" seed={cell.cfg.seed}"
    mark = hashlib.sha256(variant.encode()).hexdigest()[:6]
    made = {
        "name": short(variant, mark, NAME - len(seed)) + seed,
        "group": short(variant, mark, NAME),
        "tags": _tags(cell),
    }
    said = {key: value for key in made if (value := cell.values["tracking"][key]) is not None}
    left = {key: None for key, variable in _VARIABLES.items() if os.environ.get(variable)}
    return Labels(**(made | left | said), config=config(cell, provenance or {}))


def variant_of(cell: "Cell") -> str:
    """What differs from the defaults, as it is typed, the seed and what the machine decides left out.

    Settings of the trainer alone do not make another design: the baseline that is trained for 3 epochs is called
    `baseline max_epochs=3`.
    """
    words, settings = [], []
    for key, text in cell.composition.differing.items():
        if key == "threads" and cell.cfg.threads == 1:
            continue  # as every cell of a sweep has it
        if key in ("threads", "trainer") or key.startswith("trainer."):
            if key in ("threads", "trainer") and _goes_without_saying(cell, key):
                continue
            settings.append(text.lstrip("+").removeprefix("trainer."))
        elif key != "seed":
            words.append(text.lstrip("+"))
    words.sort(key=lambda text: "." in text.partition("=")[0])  # options of axes first
    return " ".join([*(words or [BASELINE]), *settings])


def config(cell: "Cell", provenance: Mapping[str, Any]) -> dict[str, Any]:
    """See `Labels`. A sweep's parameters are left to W&B, which adds them under the server's names."""
    values, composition = cell.values, cell.composition
    by_server = {key.lstrip("+") for key in flattened(agent.parameters())}
    changed = {path: at(values, path) for path in composition.changed if path not in by_server}
    told = {key: provenance[key] for key in TOLD if key in provenance}
    whole = WHOLE[1] if WHOLE[0] in by_server else WHOLE[0]  # a sweep over recipes has that name
    own = {"choices": composition.choices, "seed": values["seed"], **changed, whole: values}
    return own | ({"provenance": told} if told else {})


def short(name: str, ending: str, most: int = NAME) -> str:
    """A name of at most `most` characters: the first words of a longer one, and `ending`, which sets it apart."""
    if len(name) <= most:
        return name
    start = name[: most - len(ending) - 3]
    return f"{start.rpartition(' ')[0] or start} … {ending}"


def _tags(cell: "Cell") -> list[str]:
    """The sweep, by its name or, where only a server knows that, by its id; the data set."""
    words = (cell.cfg.tracking.get("sweep") or agent.sweep_id(), cell.composition.choices.get("data"))
    return [str(word)[:TAG] for word in words if word]


def _goes_without_saying(cell: "Cell", key: str) -> bool:
    """Whether this machine would compute the same if `key` had not been typed: trainer=cpu where there is no GPU."""
    values = cell.composition.without(key)
    resolve_auto(values)
    return bool(values[key] == cell.values[key])
