"""Choices that clash are refused with a message that names what to type instead."""

import re
from collections.abc import Callable

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from ablate.errors import InputError
from ablate.training.assembly import network

CLASHES = {
    "model.stages=[2,2] model.widths=[8]": r"model\.stages=\[2, 2\] and model\.widths=\[8\] clash",
    "model.stages=[] model.widths=[]": r"model\.stages=\[\]",
    "model.stages=[0] model.widths=[8]": r"at least 1",
    "model.stages=[1,1,1,1,1] model.widths=[8,8,8,8,8]": r"stage5 .*data\.image_size=32",
    "stem=conv7x7_pool": r"stage3 .*stem=conv3x3.*data\.image_size=32 fits",
    "stem=conv7x7_pool_unpadded data.image_size=4": r"stem .*data\.image_size=32",
    "transition=max_pool data.image_size=2": r"stage3 .*transition=stride",
    "transition=conv_pair data.image_size=4": r"stage3 .*transition=stride.*data\.image_size=32 fits",
    # 64 pixels would do behind a 3x3 stem; above 64 the stem is 7x7/2 with a pooling.
    "transition=conv_pair model.stages=[1,1,1,1,1] model.widths=[8,8,8,8,8]": r"data\.image_size=512 fits",
    "head=pool_flatten data.image_size=4": r"the last map is 1x1.*head=global_pool",
    "head=vgg data.image_size=4": r"the map is 1x1.*head=global_pool",
    "stem=none placement=full_pre_activation": r"placement=original",
    "stem.pool=both": r"`padded`, `unpadded` or null",
    "model.widths=[16,32,16]": r"narrow 32 channels to 16.*shortcut=projection",
    "block.depth=0": r"use 1 to 4",
    "block.stride_on=last": r"`first` or `spatial`",
    "block.convs=[[2,1]]": r"odd kernel",
    "placement.out=[act,act]": r"placement\.out=\['act', 'act'\]",
    "placement.pre=[dropout]": r"placement\.pre=\['dropout'\]",
}


@pytest.mark.parametrize("overrides", CLASHES)
def test_clash(overrides: str, compose_cfg: Callable[..., DictConfig]) -> None:
    cfg = compose_cfg(*overrides.split(" "))
    with pytest.raises((InputError, InstantiationException)) as caught, torch.device("meta"):
        network(cfg)
    reason = caught.value if isinstance(caught.value, InputError) else caught.value.__cause__
    assert isinstance(reason, InputError) and re.search(CLASHES[overrides], str(reason)), reason


def test_only_a_map_of_one_pixel_is_used_up(compose_cfg: Callable[..., DictConfig]) -> None:
    """8 pixels: halved three times, four stages stand and a fifth does not."""
    cfg = compose_cfg("model.stages=[1,1,1,1]", "model.widths=[8,8,8,8]")
    with torch.device("meta"):
        network(cfg)
