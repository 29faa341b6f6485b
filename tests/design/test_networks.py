"""Every named network against the numbers in networks.yaml."""

from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from ablate.design.cost import ALIKE, cost

TABLE = yaml.safe_load((Path(__file__).parent / "networks.yaml").read_text())
EXPERIMENTS = {file.stem for file in (Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml")}


def label(row: dict[str, Any]) -> str:
    return row.get("experiment") or " ".join(row["overrides"])


def printed(value: int, unit: int, as_text: str, truncated: bool) -> str:
    """`value` in `unit`s, with as many decimals as `as_text`."""
    rounding = ROUND_DOWN if truncated else ROUND_HALF_UP
    return str((Decimal(value) / unit).quantize(Decimal(as_text), rounding))


def numbers(module: nn.Module) -> tuple[int, int]:
    """Parameters and norm statistics."""
    statistics = [b for b in module.buffers() if b.is_floating_point()]
    return sum(p.numel() for p in module.parameters()), sum(b.numel() for b in statistics)


def test_every_experiment_has_a_row() -> None:
    rows = {row["overrides"][0].removeprefix("experiment=") for row in TABLE["networks"]}
    assert rows >= EXPERIMENTS


@pytest.mark.parametrize("row", TABLE["networks"], ids=label)
def test_counts(row: dict[str, Any], on_meta: Callable[..., Any]) -> None:
    net, cfg = on_meta(*row["overrides"])
    total, stages = cost(net, cfg.data.channels, cfg.data.image_size)
    cut = row.get("truncated", False)
    seen = {
        "params": total.params,
        "buffers": total.buffers,
        "macs": total.macs,
        "millions": printed(total.params, 10**6, row.get("millions", "1"), cut),
        "billions": printed(total.macs, 10**9, row.get("billions", "1"), cut),
    }
    assert row["source"]
    expected = {key: row[key] for key in seen if key in row}
    assert expected and {key: seen[key] for key in expected} == expected
    assert (total.params, total.buffers) == numbers(net)
    assert total.shape == stages["head"].shape == (cfg.data.num_classes,)
    first_blocks = [min(blocks, ALIKE) for blocks in cfg.model.stages]
    short, _ = on_meta(*row["overrides"], f"model.stages={first_blocks}")
    assert cost(short, cfg.data.channels, cfg.data.image_size, cfg.model.stages) == (total, stages)


def test_only_resnet50_is_truncated_in_the_paper(on_meta: Callable[..., Any]) -> None:
    """Rounded, 3.858 x 10^9 would be 3.9; the paper prints 3.8."""
    cut = [label(row) for row in TABLE["networks"] if row.get("truncated")]
    net, _ = on_meta(*cut)
    assert cut == ["experiment=he2015_resnet50"]
    assert printed(cost(net, 3, 224)[0].macs, 10**9, "1.00", False) == "3.86"


@pytest.mark.parametrize("row", TABLE["blocks"], ids=label)
def test_one_block(row: dict[str, Any], on_meta: Callable[..., Any]) -> None:
    net, _ = on_meta(f"experiment={row['experiment']}")
    assert {numbers(block) for block in net.blocks} == {(row["params"], row["buffers"])}
    assert sum(isinstance(part, nn.Conv2d) for block in net.blocks for part in block.modules()) == 18


@pytest.mark.parametrize("row", TABLE["shapes"], ids=label)
def test_shapes(row: dict[str, Any], on_meta: Callable[..., Any]) -> None:
    net, cfg = on_meta(f"experiment={row['experiment']}")
    _, stages = cost(net, cfg.data.channels, cfg.data.image_size)
    maps = {name: [stage.shape[0], stage.shape[1]] for name, stage in stages.items() if name != "head"}
    assert maps == row["stages"]
    assert all(stage.shape[1] == stage.shape[2] for name, stage in stages.items() if name != "head")
    last = [stage for name, stage in stages.items() if name != "head"][-1]
    pooled = net.head.pool(torch.empty(1, *last.shape, device="meta"))
    assert list(pooled.shape[1:3]) == row["pooled"]


@pytest.mark.parametrize(
    ("experiment", "strided"),
    [
        ("notebook_resnet34", [4, 8, 14]),
        ("notebook_resnet34_zero_pad", [4, 8, 14]),
        ("notebook_deep", [20, 40]),
        ("stepwise_resnet50", [4, 8, 14]),
        ("patterns_resnet34", []),
    ],
)
def test_strided_blocks(experiment: str, strided: list[int], on_meta: Callable[..., Any]) -> None:
    """Which blocks, from 1 on, halve the map, and that the first convolution does it, as in their sources."""
    net, _ = on_meta(f"experiment={experiment}")
    assert [n for n, block in enumerate(net.blocks, start=1) if block.conv1.stride == (2, 2)] == strided
    others = [m for block in net.blocks for name, m in block.named_modules() if name in ("conv2", "conv3")]
    assert all(conv.stride == (1, 1) for conv in others)
