"""What is found out of a cell before it is run: whether it can be, and what its network costs."""

import json
from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ablate.design.cost import ALIKE, Cost, cost
from ablate.errors import InputError
from ablate.study.description import network_parts
from ablate.training import build
from ablate.training.assembly import network
from ablate.training.trainer import check_trainer

# Devices that every machine has: Lightning's Trainer refuses those of another one.
_ANYWHERE = {"accelerator": "cpu", "devices": 1, "strategy": "auto", "precision": "32-true"}


class Checks:
    """Found out once for all cells that share it: whether trainer, recipe and data fit, what the network costs.

    check_data  also read the data, downloading it where it can be
    elsewhere   the cells are for other machines: GPUs that they ask for need not be here
    """

    def __init__(self, check_data: bool = False, elsewhere: bool = False) -> None:
        self.check_data, self.elsewhere = check_data, elsewhere
        self._known: dict[str, Any] = {}

    def __call__(self, values: dict[str, Any], asked: Callable[[], DictConfig]) -> Cost:
        """The cost of the network of `values`. Raises InputError for what cannot be trained.

        asked  returns the cell's configuration unresolved: where the images are too small, a refusal can then name a
               size that fits, which `stem=auto` may depend on
        """
        trainer = values["trainer"] | (_ANYWHERE if self.elsewhere else {})
        self._once("trainer", trainer, lambda: check_trainer(OmegaConf.create({"trainer": trainer})))
        recipe = {key: values[key] for key in ("init", "optimizer", "schedule")} | {"trainer": trainer}
        self._once("recipe", recipe, lambda: build.check_recipe(OmegaConf.create(recipe)))
        if self.check_data:
            data = {key: value for key, value in values["data"].items() if key != "seed"}
            self._once("data", data, lambda: _check_data(values))
        parts = network_parts(values)
        if values["data"]["batch_size"] // trainer["devices"] == 1:
            self._once("one image", parts, lambda: _check_one_image(parts))
        return self._once("network", parts, lambda: _cost(parts, asked))

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


def _check_one_image(parts: dict[str, Any]) -> None:
    """Raise InputError for a network with a norm that cannot be trained on batches of one image.

    Over a batch, norms average what is 1x1 in a picture: one image leaves one number, which is its own mean.
    """
    cfg = OmegaConf.create(parts)
    with torch.device("meta"):
        net, image = network(cfg).train(), torch.empty(1, cfg.data.channels, cfg.data.image_size, cfg.data.image_size)
    try:
        net(image)
    except ValueError as error:
        raise InputError(
            "data.batch_size gives each process one image at a time, on which this network cannot be trained"
            f" ({error}). Use a larger batch, or norm=none."
        ) from error


def _cost(parts: dict[str, Any], asked: Callable[[], DictConfig]) -> Cost:
    cfg, stages = OmegaConf.create(parts), parts["model"]["stages"]
    cfg.model.stages = [min(blocks, ALIKE) if isinstance(blocks, int) else blocks for blocks in stages]
    with torch.device("meta"):
        try:
            net = network(cfg)
        except InputError:
            network(asked())
            raise
    total, _ = cost(net, cfg.data.channels, cfg.data.image_size, stages)
    return total
