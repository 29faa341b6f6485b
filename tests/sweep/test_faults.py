"""All that is wrong with a sweep file is said at once."""

import pytest
from hydra.errors import HydraException

from ablate.configuration.refusals.guard import guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError, WrongNameError
from ablate.sweep import faults
from ablate.sweep import plan as planning
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan


def test_every_fault_of_its_form(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "metod: grid\nmetric: {name: val/ac}\nparameters: {norm: [batch, none], lr: 0.1, seed: {vales: [0]}}\n"
    )
    with pytest.raises(InputError) as refused:
        SweepFile.read(path)
    first, *listed = str(refused.value).splitlines()
    assert first == f"{path}: 6 things are wrong:"
    words = ("metod. Did", "val/ac", "`method`", "norm: {values", "lr: {value", "values?")
    for fault, wanted in zip(listed, words, strict=True):
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
    first, *listed = capsys.readouterr().err.strip().splitlines()
    assert "4 things are wrong" in first
    said = sorted(fault.split(":")[0].strip() for fault in listed)
    assert said == ["model=resnett", "norm=nonee", "optimizer.lrr", "shortcutt"]
    wrong = sorted(["norm=nonee", "optimizer.lrr=0.1"])  # typed behind the file, they are found too
    (tmp_path / "s.yaml").write_text("method: grid\nparameters: {seed: {values: [0, 1]}}\n")
    assert guarded(lambda: plan(SweepFile.read(tmp_path / "s.yaml"), wrong, costs=False)) == 2
    assert "2 things are wrong" in capsys.readouterr().err


def test_a_name_in_a_late_cell_is_found_among_many(tmp_path, capsys):
    """The first parameter varies slowest, so its last value comes after 4,000 cells."""
    register_resolvers()
    seeds = ", ".join(map(str, range(4000)))
    (tmp_path / "s.yaml").write_text(
        f"method: grid\nparameters:\n  norm: {{values: [batch, none, nonee]}}\n  seed: {{values: [{seeds}]}}\n"
        "  shortcut: {values: [zero_pad, zero_padd]}\n"
    )
    with pytest.raises(InputError) as refused:
        plan(SweepFile.read(tmp_path / "s.yaml"), costs=False)
    first, *said = str(refused.value).splitlines()
    assert "2 things are wrong" in first
    assert [line.split(":")[0].strip() for line in said] == ["shortcut=zero_padd", "norm=nonee"]


class Counting:
    """A composer that refuses cells as `refuse` says, and counts what it was asked."""

    def __init__(self, refuse):
        self.refuse, self.asked = refuse, 0

    def used(self, overrides):
        return overrides

    def __call__(self, overrides):
        self.asked += 1
        if (fault := self.refuse(overrides)) is not None:
            raise WrongNameError(fault)


def test_a_fault_that_no_override_is_guilty_of_is_looked_into_once():
    """In the user's own conf/, say."""
    composer = Counting(lambda overrides: "conf/mine.yaml has no such key")
    cells = [[f"seed={seed}", *(f"key{number}=1" for number in range(10))] for seed in range(50)]
    found, looked_at = faults.wrong_names(cells, composer)
    assert found == ["conf/mine.yaml has no such key"] and looked_at == 50
    assert composer.asked == 1 + 11 + 49  # with one override less each, then once for each other cell


def test_a_name_that_is_wrong_whatever_its_value_hides_no_other():
    composer = Counting(lambda cell: next((f"no {key}" for key in ("lrr", "normm") if f"{key}=" in str(cell)), None))
    cells = [["lrr=1", "norm=a"], ["lrr=2", "normm=b"], ["lrr=3", "norm=a"]]
    assert faults.wrong_names(cells, composer) == (["no lrr", "no normm"], 3)


def test_the_search_for_faults_ends_and_says_what_it_has_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "MOST", 30)
    composer = Counting(lambda cell: "no such axis" if "axis=1" in cell else None)
    cells = [[f"norm=n{number}", *(["axis=1"] if number == 0 else [])] for number in range(1000)]
    found, looked_at = faults.wrong_names(cells, composer)
    assert found == ["no such axis"] and composer.asked == 30 and looked_at == 28  # three for the first
    (tmp_path / "s.yaml").write_text(
        "method: grid\nparameters:\n  normm: {value: none}\n  optimizer.lrr: {value: 1}\n"
        "  shortcut: {values: [zero_pad, projection, none]}\n  seed: {values: [0, 1]}\n"
    )
    monkeypatch.setattr(faults, "MOST", 5)  # two for each fault, one for what is left
    register_resolvers()
    with pytest.raises(InputError, match=r"2 things are wrong:\n.*\n.*\n  4 more cells were not looked at\.$"):
        plan(SweepFile.read(tmp_path / "s.yaml"), costs=False)


def test_cells_that_name_the_same_are_composed_once():
    register_resolvers()
    composer = Counting(lambda cell: None)
    assert faults.wrong_names([[f"seed={number}", "norm=none"] for number in range(1000)], composer) == ([], 1000)
    assert composer.asked == 1


def test_a_refusal_of_many_cells_is_put_into_words_once(tmp_path, monkeypatch):
    """Hydra lists all axes and values for that, which takes a quarter of a second."""
    register_resolvers()
    asked, explain = [], planning.explained
    monkeypatch.setattr(planning, "explained", lambda error: asked.append(error) or explain(error))
    parameters = "parameters: {normm: {values: [none, batch]}, seed: {values: [0, 1, 2]}}"
    (tmp_path / "s.yaml").write_text(f"method: grid\n{parameters}\n")
    with pytest.raises(HydraException):
        plan(SweepFile.read(tmp_path / "s.yaml"), costs=False)
    assert len(asked) == 1


def test_a_value_that_cannot_be_written_stands_beside_the_names(tmp_path):
    register_resolvers()
    (tmp_path / "s.yaml").write_text(
        "method: grid\nparameters:\n  norm: {values: [nonee, None]}\n  seed: {values: [0, 1]}\n"
    )
    with pytest.raises(InputError) as refused:
        plan(SweepFile.read(tmp_path / "s.yaml"), costs=False)
    first, *said = str(refused.value).splitlines()
    assert "2 things are wrong" in first and "nonee" in said[0] and "None" in said[1] and len(said) == 2
