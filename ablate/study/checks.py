"""What a plan finds out of a cell before it is run: whether it can be, and what its network costs."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import OmegaConf

from ablate.design.cost import ALIKE, Cost, cost
from ablate.errors import InputError
from ablate.study.composition import Composition
from ablate.study.description import network_parts
from ablate.training import build
from ablate.training.assembly import network
from ablate.training.trainer import check_trainer

# Devices that every machine has: Lightning's Trainer refuses those of another one.
_ANYWHERE = {"accelerator": "cpu", "devices": 1, "strategy": "auto", "precision": "32-true"}


class Checks:
    """What is found out once for all cells that share it: the network's cost, whether trainer and data fit."""

    def __init__(self, check_data: bool, elsewhere: bool) -> None:
        self.check_data, self.elsewhere = check_data, elsewhere
        self._known: dict[str, Any] = {}

    def __call__(self, values: dict[str, Any], overrides: Sequence[str]) -> Cost:
        trainer = values["trainer"] | (_ANYWHERE if self.elsewhere else {})
        self._once("trainer", trainer, lambda: check_trainer(OmegaConf.create({"trainer": trainer})))
        recipe = {key: values[key] for key in ("init", "optimizer", "schedule")} | {"trainer": trainer}
        self._once("recipe", recipe, lambda: build.check_recipe(OmegaConf.create(recipe)))
        if self.check_data:
            data = {key: value for key, value in values["data"].items() if key != "seed"}
            self._once("data", data, lambda: _check_data(values))
        parts = network_parts(values)
        return self._once("network", parts, lambda: _cost(overrides, parts))

    def _once(self, what: str, parts: Any, find: Any) -> Any:
        """What `find()` returned, or raised as InputError, the first time that these parts came by."""
        key = what + json.dumps(parts)
        if key not in self._known:
            try:
                self._known[key] = find()
            except InputError as error:
                self._known[key] = error
        if isinstance(self._known[key], InputError):
            raise self._known[key]
        return self._known[key]


def _check_data(values: dict[str, Any]) -> None:
    images = build.images(OmegaConf.create(values))
    images.prepare_data()
    images.setup("fit")


def _cost(overrides: Sequence[str], parts: dict[str, Any]) -> Cost:
    cfg, stages = OmegaConf.create(parts), parts["model"]["stages"]
    cfg.model.stages = [min(blocks, ALIKE) if isinstance(blocks, int) else blocks for blocks in stages]
    try:
        with torch.device("meta"):
            net = network(cfg)
    except InputError:
        # Once more as it was asked for, and with what depends on the image's size unresolved, so that the refusal can
        # name a size that fits.
        with torch.device("meta"):
            network(Composition.of(overrides).cfg)
        raise
    total, _ = cost(net, cfg.data.channels, cfg.data.image_size, stages)
    return total
