"""What a description says is what others have counted, and what each choice changes."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from ablate.configuration.composition import Composition, composed
from ablate.configuration.resolvers import register_resolvers
from ablate.runs.description import description

# Parameters and GFLOPS (multiply-adds) as on torchvision's model pages, 224 pixels and 1000 classes.
TORCHVISION = {
    "resnet18 shortcut=projection": (11_689_512, 1.81),
    "resnet34 shortcut=projection": (21_797_672, 3.66),
    "resnet50": (25_557_032, 4.09),
    "resnet101": (44_549_160, 7.80),
    "vgg16": (138_357_544, 15.47),
    "vgg16 norm=batch": (138_365_992, 15.47),
}


def described(*overrides: str) -> dict[str, Any]:
    register_resolvers()
    both = composed(list(overrides))
    cfg = OmegaConf.masked_copy(both, [key for key in both if key != "hydra"])
    return description(Composition(cfg, OmegaConf.masked_copy(both, ["hydra"])))


def change(described: dict[str, Any], choice: str) -> dict[str, Any]:
    return next(difference for difference in described["differences"] if difference["choice"] == choice)


@pytest.mark.parametrize("model", TORCHVISION)
def test_counts_are_torchvisions(model):
    params, gmacs = TORCHVISION[model]
    network = described(*f"data=image_folder model={model}".split())
    assert network["params"] == params
    assert network["macs"] == pytest.approx(gmacs * 1e9, abs=0.01e9)


def test_stages_are_those_of_the_papers_table_1():
    network = described("data=image_folder", "model=resnet50")
    stages = network["stages"]
    assert [stage["name"] for stage in stages] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert [stage["blocks"] for stage in stages] == [0, 3, 4, 6, 3, 0]
    assert [stage["shape"] for stage in stages] == [
        *[(64, 56, 56), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)],
        (1000,),
    ]
    assert network["buffers"] == 53_120  # of torchvision's state dict, its batch counters left out
    for total in ("params", "buffers", "macs", "activation_bytes", "blocks"):
        assert network[total] == sum(stage[total] for stage in stages)


def test_a_linear_layer_keeps_its_input():
    head = described()["stages"][-1]
    assert (head["params"], head["macs"], head["activation_bytes"]) == (64 * 10 + 10, 64 * 10, 64 * 4)


def test_the_defaults_differ_in_nothing():
    assert described()["differences"] == []


def test_a_choice_is_measured_against_its_default_with_all_else_kept():
    # He et al. 2015's ResNet-56: 855,770 parameters with projections, 853,018 with zero-padding.
    network = described("data=cifar10", "model=resnet56", "shortcut=projection", "optimizer=adam")
    assert network["params"] == 855_770
    shortcut = change(network, "shortcut")
    assert (shortcut["default"], shortcut["chosen"]) == ("zero_pad", "projection")
    assert shortcut["params"] == 855_770 - 853_018
    # One 1x1 convolution from 16x32x32 to 32x16x16, one from 32x16x16 to 64x8x8.
    assert shortcut["macs"] == 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8
    # Three channels instead of one into the stem's 3x3 convolution of 16.
    assert change(network, "data")["params"] == 2 * 9 * 16
    optimizer = change(network, "optimizer")
    assert (optimizer["chosen"], optimizer["params"], optimizer["macs"]) == ("adam", 0, 0)
    assert {difference["choice"] for difference in network["differences"]} == {
        *("data", "model", "shortcut", "optimizer")
    }


def test_what_a_model_chose_on_another_axis_is_kept():
    network = described("data=image_folder", "model=vgg16")
    norm = change(network, "norm")
    assert (norm["default"], norm["chosen"]) == ("batch", "none")
    assert norm["params"] == 138_357_544 - 138_365_992  # vgg16 and vgg16_bn
    assert network["choices"]["head"] == "vgg"


def test_an_experiments_values_go_back_with_their_option():
    # The ResNet-50 of "Residual Networks - Step by Step" beside its own with torchvision's position of the stride: as
    # many parameters.
    network = described("experiment=stepwise_resnet50")
    assert (network["params"], network["buffers"]) == (23_546_886, 53_120)
    assert change(network, "block")["values"] == {"block.stride_on": "first"}
    # Every convolution of ResNet-50 has as many biases as the norm behind it has running means.
    assert change(network, "conv_bias")["params"] == 53_120 // 2
    plain = described("experiment=stepwise_resnet50", "block=basic", "block.stride_on=first")
    assert change(network, "block")["params"] == network["params"] - plain["params"]


def test_a_value_without_an_option_is_a_difference_too():
    network = described("block.depth=3")
    block = change(network, "block")
    assert (block["default"], block["chosen"], block["values"]) == ("basic", "basic", {"block.depth": 3})
    # One more 3x3 convolution and norm in each of three blocks of 16, 32 and 64 channels.
    assert block["params"] == 3 * sum(9 * width * width + 2 * width for width in (16, 32, 64))


def test_a_default_that_does_not_go_with_the_rest_is_a_clash():
    data = change(described("data=image_folder", "model=vgg16"), "data")
    assert (data["params"], data["macs"]) == (None, None)
    assert "8x8 pixels are too small" in data["clash"]
