"""Every file of sweeps/: W&B's format, and cells that this project can train."""

from pathlib import Path

import pytest
import yaml

from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import TO_DO, plan

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_cell_of_a_sweep_composes_and_builds(file: Path, tmp_path: Path):
    register_resolvers()
    sweep = yaml.safe_load(file.read_text())
    assert sweep["description"] and sweep["metric"] == {"name": "val/acc", "goal": "maximize"}
    assert sweep["command"] == ["${env}", "python", "-m", "ablate", "${args_json}"]
    cells = plan(SweepFile.read(file), ["trainer=cpu", f"runs_dir={tmp_path}"])
    assert [cell.status for cell in cells] == [TO_DO] * len(cells)
    assert not any(cell.same for cell in cells)
    assert len(cells) > 1 and "seed" in cells[0].assignment
