"""All that is wrong with a sweep file is said at once."""

import pytest

from ablate.configuration.refusals.guard import guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan


def test_every_fault_of_its_form(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "metod: grid\nmetric: {name: val/ac}\nparameters: {norm: [batch, none], lr: 0.1, seed: {vales: [0]}}\n"
    )
    with pytest.raises(InputError) as refused:
        SweepFile.read(path)
    first, *faults = str(refused.value).splitlines()
    assert first == f"{path}: 6 things are wrong:"
    words = ("metod. Did", "val/ac", "`method`", "norm: {values", "lr: {value", "values?")
    for fault, wanted in zip(faults, words, strict=True):
        assert fault.startswith("  ") and wanted in fault and str(path) not in fault


def test_one_fault_is_one_line(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("method: grid\nparameters: {norm: [batch, none]}\n")
    with pytest.raises(InputError, match=r"^\S+s.yaml: norm: .*: write norm: \{values: .*\}\.$"):
        SweepFile.read(path)


NAMES = """
method: grid
parameters:
  norm: {values: [batch, nonee]}
  shortcutt: {value: zero_pad}
  optimizer.lrr: {value: 0.1}
  model: {values: [resnet20, resnett]}
  model.widths: {value: [4, 8, 8]}
"""


def test_every_name_that_does_not_exist(tmp_path, capsys):
    """And nothing else: what a wrong model would have been is not known, so model.widths is no fault."""
    register_resolvers()
    (tmp_path / "s.yaml").write_text(NAMES)
    file = SweepFile.read(tmp_path / "s.yaml")
    assert guarded(lambda: plan(file, costs=False)) == 2
    first, *faults = capsys.readouterr().err.strip().splitlines()
    assert "4 things are wrong" in first
    said = sorted(fault.split(":")[0].strip() for fault in faults)
    assert said == ["model=resnett", "norm=nonee", "optimizer.lrr", "shortcutt"]
    wrong = sorted(["norm=nonee", "optimizer.lrr=0.1"])  # typed behind the file, they are found too
    (tmp_path / "s.yaml").write_text("method: grid\nparameters: {seed: {values: [0, 1]}}\n")
    assert guarded(lambda: plan(SweepFile.read(tmp_path / "s.yaml"), wrong, costs=False)) == 2
    assert "2 things are wrong" in capsys.readouterr().err
