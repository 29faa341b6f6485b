"""Every sweep file: W&B's format, and cells that this project can train."""

import itertools
from pathlib import Path

import pytest
import yaml

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_cell_of_a_sweep_composes_and_builds(file, prepared):
    sweep = yaml.safe_load(file.read_text())
    assert sweep["description"] and sweep["metric"] == {"name": "val/acc", "goal": "maximize"}
    assert sweep["command"] == ["${env}", "python", "-m", "ablate", "${args_json}"]
    values = {name: spec.get("values", [spec.get("value")]) for name, spec in sweep["parameters"].items()}
    cells = [
        prepared(*(f"{name}={value}" for name, value in zip(values, choice, strict=True)))
        for choice in itertools.product(*values.values())
    ]
    assert len({cell.fingerprint for cell in cells}) == len(cells)
