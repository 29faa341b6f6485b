"""Checks before a cell is trained: whether it can be, and what its network costs."""

import os
from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ablate.configuration.fingerprint import ADDED
from ablate.configuration.whole import is_whole
from ablate.design.cost import ALIKE, Cost
from ablate.errors import InputError
from ablate.runs.description import network_cost, network_parts
from ablate.runs.once import Once
from ablate.training import build
from ablate.training.assembly import network, network_on_meta
from ablate.training.epoch import check_epoch
from ablate.training.objective import losses, named
from ablate.training.saving import trackers
from ablate.training.trainer import check_trainer

# For a run on another machine the Trainer is checked with these, because it refuses devices that this one lacks.
_ANYWHERE = {"accelerator": "cpu", "devices": 1, "strategy": "auto", "precision": "32-true"}

_FLOAT = 4  # bytes

# The keys that are checked together, without building the network.
RECIPE = (
    *("init", "optimizer", "schedule", "loss", "metrics"),
    *("label_smoothing", "monitor", "monitor_goal", "result"),
)


class Checks:
    """Checks trainer, recipe, data and network of cells. What several cells share is checked once.

    check_data  also read the data, and download it if needed
    elsewhere   the cells are for other machines: this one need not have the GPUs that they ask for
    """

    def __init__(self, check_data: bool = False, elsewhere: bool = False) -> None:
        self.check_data, self.elsewhere = check_data, elsewhere
        self._once = Once()

    def __call__(self, values: dict[str, Any], asked: Callable[[], DictConfig]) -> Cost:
        """The cost of the network of `values`. Raises InputError for what cannot be trained.

        asked  returns the cell's unresolved configuration. If the images are too small, it is tried with larger ones,
               so that the message can name a size that fits; `stem=auto` depends on the size
        """
        trainer = values["trainer"] | (_ANYWHERE if self.elsewhere else {})
        watched = {"trainer": trainer, "watchers": values["watchers"]}
        self._once("trainer", watched, lambda: check_trainer(OmegaConf.create(watched)))
        tracking = {"tracking": values["tracking"]}
        self._once("tracking", tracking, lambda: trackers.check(OmegaConf.create(tracking)))
        recipe = {key: values[key] for key in RECIPE if key in values} | {"trainer": trainer}
        recipe["data"] = {"num_classes": values["data"]["num_classes"]}
        by_validation = self._once("recipe", recipe, lambda: build.check_recipe(OmegaConf.create(recipe)))
        data = values["data"] | {"seed": 0}
        self._once("images", data, lambda: build.images(OmegaConf.create({"data": data})))
        if self.check_data:
            batches, labels = self._once("data", data, lambda: _batches(values))
            check_epoch(values, batches, by_validation)
        parts = network_parts(values)
        cost = self._once("network", parts, lambda: _cost(parts, asked))
        if values["module"] == ADDED["module"]:  # another module may use outputs of any shape
            _check_scores(cost, values)
            if self.check_data and cost.shape[0] != values["data"]["num_classes"]:
                named.check(OmegaConf.create(values), labels, cost.shape[0])
        if data.get("batch_size", 1) // trainer["devices"] == 1:
            self._once("one image", parts, lambda: _check_one_image(parts))
        if not self.elsewhere:
            _check_memory(cost, values)
        return cost


def _check_scores(cost: Cost, values: dict[str, Any]) -> None:
    """Raise InputError unless the network gives each class a score. A user's loss may read more outputs."""
    classes = values["data"]["num_classes"]
    is_ours = str(values["loss"].get("_target_")).startswith(f"{losses.__name__}.")
    if len(cost.shape) != 1 or cost.shape[0] < classes or (is_ours and cost.shape[0] > classes):
        raise InputError(
            f"model: for each image the network returns numbers of shape {cost.shape}; {classes} are expected, one"
            " score for each of data.num_classes."
        )


def _batches(values: dict[str, Any]) -> tuple[int, Tensor | None]:
    """How many batches an epoch has, and some labels if they are known.

    Raises InputError for data that do not fit the configuration.
    """
    images = build.images(OmegaConf.create(values))
    images.prepare_data()
    images.setup("fit")
    named.check(OmegaConf.create(values), images.labels)
    return images.batches, None if images.labels is None else images.labels[: named.CHECKED]


def _check_one_image(parts: dict[str, Any]) -> None:
    """Raise InputError for a network with a norm that cannot be trained on batches of one image.

    Batch norm over a 1x1 map of one image would have a single number for each channel, which is its own mean.
    """
    cfg = OmegaConf.create(parts)
    net = network_on_meta(cfg).train()
    try:
        net(torch.empty(1, cfg.data.channels, cfg.data.image_size, cfg.data.image_size, device="meta"))
    except ValueError as error:
        raise InputError(
            "data.batch_size gives each process one image at a time, on which this network cannot be trained"
            f" ({error}). Use a larger batch, or norm=none."
        ) from error


def _cost(parts: dict[str, Any], asked: Callable[[], DictConfig]) -> Cost:
    cfg, stages = (OmegaConf.create(parts), None) if is_whole(parts) else (_shortened(parts), parts["model"]["stages"])
    try:
        net = network_on_meta(cfg)
    except InputError:
        with torch.device("meta"):
            network(asked())
        raise
    return network_cost(net, cfg, stages)[0]


def _shortened(parts: dict[str, Any]) -> DictConfig:
    """The configuration with at most `ALIKE` blocks in each stage: further blocks would only repeat the last one."""
    cfg = OmegaConf.create(parts)
    cfg.model.stages = [min(blocks, ALIKE) if isinstance(blocks, int) else blocks for blocks in cfg.model.stages]
    return cfg


def _check_memory(cost: Cost, values: dict[str, Any]) -> None:
    """Raise InputError for a network, or a batch, that is larger than this machine's memory."""
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    data, devices = values["data"], values["trainer"]["devices"]
    batch = data.get("batch_size", 1) / devices * data["channels"] * data["image_size"] ** 2 * _FLOAT
    for what, size, advice in (
        (f"{cost.params:,} parameters and their gradients", 2 * _FLOAT * cost.params, "layers"),
        (f"a batch of {data['image_size']}x{data['image_size']} pixels", batch, "data.image_size or data.batch_size"),
    ):
        if size > here:
            raise InputError(
                f"{what} take {size / 2**30:,.0f} GiB; this machine has {here / 2**30:,.0f} GiB of memory. Use smaller"
                f" {advice}."
            )
