"""What `describe` says is what others have counted, and it says it without training's packages or data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ablate.report.describe import description
from ablate.study.commandline import register_resolvers
from ablate.study.composition import CONF, Composition, composed

ROOT = Path(__file__).resolve().parents[2]

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


def ablate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ablate", "describe", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "60"},
        capture_output=True,
        text=True,
        timeout=300,
    )


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
    network = described("data=cifar10", "model=resnet56", "shortcut=projection", "optimizer=adamw")
    assert network["params"] == 855_770
    shortcut = change(network, "shortcut")
    assert (shortcut["default"], shortcut["chosen"]) == ("zero_pad", "projection")
    assert shortcut["params"] == 855_770 - 853_018
    # One 1x1 convolution from 16x32x32 to 32x16x16, one from 32x16x16 to 64x8x8.
    assert shortcut["macs"] == 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8
    # Three channels instead of one into the stem's 3x3 convolution of 16.
    assert change(network, "data")["params"] == 2 * 9 * 16
    optimizer = change(network, "optimizer")
    assert (optimizer["chosen"], optimizer["params"], optimizer["macs"]) == ("adamw", 0, 0)
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
    # Document 002's network beside its own with torchvision's position of the stride: as many parameters.
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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("model=resnet2", "model=resnet2: there is no such option. Did you mean"),
        ("modl=resnet20", "Did you mean model?"),
        ("model.stages=3", "a list is expected"),
        ("data.image_size=2", "too small"),
        ("seed=-1", "seed=-1: it must not be negative"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(tmp_path, wrong, said):
    run = ablate(tmp_path, wrong)
    assert run.returncode == 2
    assert run.stdout == ""
    assert said in run.stderr
    assert run.stderr.startswith("ablate: ")
    assert len(run.stderr.splitlines()) == 1


def test_tables_are_plain_where_nobody_watches(tmp_path):
    # A machine without data or GPU describes what another will train.
    run = ablate(tmp_path, "model=resnet50", "data=image_folder", "activation=gelu", "trainer=gpu")
    assert (run.returncode, run.stderr) == (0, "")
    assert "\x1b" not in run.stdout
    rows = {line.split()[0]: line.split() for line in run.stdout.splitlines() if line.strip()}
    assert rows["total"][1:4] == ["16", "25,557,032", "4.089G"]
    assert rows["stage2"][:3] == ["stage2", "512x28x28", "4"]
    assert rows["activation"] == ["activation", "relu", "→", "gelu", "same", "same"]
    assert "trainer auto → gpu" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_option_from_a_users_own_folder(tmp_path):
    (tmp_path / "mine" / "norm").mkdir(parents=True)
    own = (CONF / "norm" / "batch.yaml").read_text().replace("_partial_: true", "_partial_: true\naffine: false")
    (tmp_path / "mine" / "norm" / "fixed.yaml").write_text(own)
    arguments = ["data=image_folder", "model=resnet50", "norm=fixed", "--json"]
    run = ablate(tmp_path, "--config-dir", "mine", *arguments)
    assert (run.returncode, run.stderr) == (0, "")
    network = json.loads(run.stdout)
    assert network["choices"]["norm"] == "fixed"
    # Batch norm has as many weights and biases as running means and variances.
    assert network["params"] == 25_557_032 - 53_120
    assert change(network, "norm")["params"] == -53_120


def test_training_is_not_imported():
    program = (
        "import sys; from ablate.__main__ import main\n"
        "sys.argv = ['ablate', 'describe', 'norm=group', '--json']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'pytorch_lightning', 'wandb', 'torchvision', 'torchmetrics'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.stderr == "[]\n"
    assert json.loads(run.stdout)["params"] > 0


def test_table_of_all_experiments(tmp_path):
    run = ablate(tmp_path, "--table")
    assert (run.returncode, run.stderr) == (0, "")
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in run.stdout.splitlines()]
    assert {len(cells) for cells in lines} == {5}
    rows = {name.strip(" `"): [cell.strip() for cell in cells] for name, *cells in lines[2:]}
    assert set(rows) == {file.stem for file in (CONF / "experiment").glob("*.yaml")}
    assert all(re.match(r"(Document 00\d|He et al\. 201[56])\b", source) for source, *_ in rows.values())
    assert list(rows).index("he2015_resnet20") < list(rows).index("he2015_resnet110")
    # Counts of issue 3's documents; multiply-adds as He et al. 2015 print them, 3.6 and 11.3 x 10^9.
    assert rows["patterns_resnet34"][1:3] == ["3x224x224", "16,822,760"]
    assert rows["notebook_resnet34"][2] == "26,801,448"
    assert rows["he2015_resnet56"][0] == "He et al. 2015, table 6: ResNet-56 for CIFAR, option A"
    assert rows["he2015_resnet34_a"][3].startswith("3.6")
    assert round(float(rows["he2015_resnet152"][3].removesuffix("G")), 1) == 11.3
