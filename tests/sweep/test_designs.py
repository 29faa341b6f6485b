"""Sweep files of designs: their cells are cells of the grid, and their report says what they cannot show."""

import pytest
import yaml

from ablate.__main__ import called
from ablate.comparison.gathering import from_plan
from ablate.configuration.refusals.guard import guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.report.designs import limits
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan

FILE = """
description: Which of these?
program: ablate
command: ["${env}", python, -m, ablate, "${args_json}"]
method: one_factor_at_a_time  # which is no method
metric: {name: val/acc, goal: maximize}
parameters:
  model: {values: [resnet20, resnet50]}
  block: {values: [basic, bottleneck]}
  optimizer: {parameters: {lr: {values: [0.001, 1e-2]}, weight_decay: {value: 0.0}}}
  norm: {values: [group, batch]}
  seed: {values: [0, 1]}
  trainer: {value: cpu}
"""
DESIGNS = {"one-at-a-time": 5, "leave-one-out": 5, "pairs": 11, "screen": 8, "screen --fold-over": 8}


@pytest.fixture
def sweep(tmp_path):
    register_resolvers()
    (tmp_path / "sweep.yaml").write_text(FILE)
    return tmp_path / "sweep.yaml"


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    register_resolvers()
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(FILE.replace("one_factor_at_a_time", "grid"))
    return {cell.fingerprint: cell.assignment for cell in plan(SweepFile.read(path))}


@pytest.mark.parametrize("design", DESIGNS)
def test_its_cells_are_cells_of_the_grid(sweep, grid, tmp_path, design, capsys):
    out = tmp_path / "out.yaml"
    assert called("design", [str(sweep), "-o", str(out), *f"--{design}".split()]) is None
    said = capsys.readouterr().out
    assert f"{DESIGNS[design]} variants with 2 seeds each: {2 * DESIGNS[design]} runs; the grid has 32." in said
    written = yaml.safe_load(out.read_text())
    assert set(written) == set(yaml.safe_load(FILE)) and written["method"] == "grid"
    assert written["command"] == yaml.safe_load(FILE)["command"]
    file = SweepFile.read(out)
    cells = plan(file)
    assert len(cells) == 2 * DESIGNS[design] and {cell.fingerprint for cell in cells} <= set(grid)
    first = grid[cells[0].fingerprint]
    full = design == "leave-one-out"
    assert first == {
        "model": "resnet50" if full else "resnet20",
        "block": "bottleneck" if full else "basic",
        "optimizer.lr": 0.01 if full else 0.001,
        "optimizer.weight_decay": 0.0,
        "norm": "batch" if full else "group",
        "seed": 0,
        "trainer": "cpu",
    }
    if design == "one-at-a-time":
        assert written["parameters"]["variant"]["values"] == [
            "norm=group",
            "model=resnet50 block=basic norm=group",  # alone, resnet50 brings its bottlenecks
            "block=bottleneck norm=group",
            "optimizer.lr=0.01 norm=group",
            "norm=batch",
        ]
        assert "cannot show" in said
    comparison = from_plan(cells, file)
    assert comparison.baseline.assignment.items() <= first.items()
    (note, *more) = limits(comparison) or [""]
    says = {"pairs": "", "screen": "interaction", "screen --fold-over": "interaction"}.get(design, "cannot show")
    assert says in note and (design == "pairs") == (note == "")
    assert bool(more) == design.startswith("screen")


def test_refused(sweep, tmp_path, capsys):
    def refused(*words: str) -> str:
        assert guarded(called, "design", [str(sweep), *words]) == 2
        return capsys.readouterr().err

    assert "--screen --fold-over" in refused("--pairs", "--fold-over")
    (tmp_path / "out.yaml").write_text("mine")
    assert "already exists" in refused("--pairs", "-o", str(tmp_path / "out.yaml"))
    assert (tmp_path / "out.yaml").read_text() == "mine"
    sweep.write_text(FILE.replace("[0.001, 1e-2]", "[0.001, 1e-2, 1e-4]"))
    assert "optimizer.lr has 3 options" in refused("--screen") and "3 options" in refused("--leave-one-out")
    sweep.write_text("method: grid\nparameters: {seed: {values: [0, 1]}}\n")
    assert "no parameter has several values" in refused("--pairs")
    sweep.write_text('method: grid\nparameters: {variant: {values: ["", "norm=none"]}}\n')
    assert "already has a parameter variant" in refused("--pairs")


def test_many_choices_need_no_grid(sweep, tmp_path, capsys):
    """A million combinations are not planned, but twenty of them are."""
    choices = "".join(f"  +optimizer.x{i}: {{values: [0, 1]}}\n" for i in range(20))
    sweep.write_text(f"method: grid\nparameters:\n{choices}  seed: {{values: [0]}}\n")
    assert guarded(called, "design", [str(sweep), "--one-at-a-time"]) == 0
    assert "21 variants with 1 seed each: 21 runs; the grid has 1,048,576." in capsys.readouterr().err
