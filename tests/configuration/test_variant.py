"""A variant is the same as its overrides typed one by one, whichever way it arrives."""

import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict

from ablate.comparison.gathering import from_plan, from_plans
from ablate.configuration import variant
from ablate.configuration.parameters import arguments, permitted
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan

TEXT = "norm=none optimizer.lr=1e-3 model.stages=[1,2] tracking.name='a b' compile=null"
SETS = {"norm": "none", "optimizer.lr": 1e-3, "model.stages": [1, 2], "tracking.name": "a b", "compile": None}


def read(words: list[str]) -> dict:
    return {o.key_or_group: o.value() for o in OverridesParser.create().parse_overrides(words)}


def test_words_are_split_as_a_shell_does_and_written_back():
    assert variant.choices(TEXT) == SETS
    assert variant.choices(variant.written(SETS)) == SETS
    assert variant.written({"norm": "none", "optimizer.lr": 0.1}) == "norm=none optimizer.lr=0.1"
    assert variant.choices("") == {}


@pytest.mark.parametrize(
    "value, says",
    [
        ("norm", "norm is not an override"),
        ("norm=none,batch", "several values"),
        ("norm=none norm=batch", "set twice"),
        ("~optimizer.lr", "removes a key"),
        ("norm='a", "No closing quotation"),
        ("variant=norm=none", "cannot be set in a variant|not an override"),
        ("hydra.run.dir=x", "cannot be set in a variant"),
        ("data.seed=${seed}", "literally"),
        (3, "a string of overrides"),
        ({"norm": "none"}, "a string of overrides"),
    ],
)
def test_what_is_no_variant_is_refused(value, says):
    with pytest.raises(InputError, match=says):
        variant.choices(value)
    with pytest.raises(InputError, match=says):
        variant.expanded(
            {f"variant.{key}": v for key, v in value.items()} if isinstance(value, dict) else {"variant": value}
        )


def test_typed_among_other_words():
    assert arguments(["trainer=cpu", "variant=norm=none activation=gelu", "seed=1"]) == [
        "trainer=cpu",
        "norm=none",
        "activation=gelu",
        "seed=1",
    ]
    assert arguments(["variant=", "-m", "seed=0,1"]) == ["-m", "seed=0,1"]
    assert arguments(["variant='norm=none activation=gelu'"]) == ["norm=none", "activation=gelu"]
    with pytest.raises(InputError, match="norm is set twice, by variant and on its own"):
        arguments(["norm=batch", "variant=norm=none"])
    with pytest.raises(InputError, match="one variant"):
        arguments(["variant=norm=none", "variant=activation=gelu"])


def test_a_composition_takes_it_too(prepared):
    one = prepared("variant=norm=none activation=gelu", "seed=3")
    assert one.fingerprint == prepared("norm=none", "activation=gelu", "seed=3").fingerprint
    assert one.composition.overrides[-3:] == ["norm=none", "activation=gelu", "seed=3"]


@pytest.mark.parametrize("form", ["args_json", "args_no_hyphens"])
@pytest.mark.parametrize("text", [TEXT, "", "placement=full_pre_activation activation=gelu"])
def test_an_agent_hands_it_over(monkeypatch, tmp_path, form, text):
    def words(value: str) -> list[str]:
        args = {"variant": {"value": value}, "seed": {"value": 3}}
        save_config_file_from_dict(str(tmp_path / "config.yaml"), args)
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
        monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "config.yaml"))
        return create_sweep_command_args({"args": args})[form]

    arrived = permitted(arguments(words(text)))
    assert read(arrived) == variant.choices(text) | {"seed": 3}
    # A variant is no way around what a server may not choose.
    for evil in ("norm=none runs_dir=/tmp", "+trainer.callbacks=[{_target_:os.system}]"):
        with pytest.raises(InputError, match=r"agent\.allow"):
            permitted(arguments(words(evil)))


FILE = """
method: grid
parameters:
  variant: {values: ["norm=group", "", "norm=batch", "placement=full_pre_activation activation=gelu", "model=resnet50"]}
  seed: {values: [0, 1]}
  trainer: {value: cpu}
"""


@pytest.fixture
def planned(tmp_path):
    register_resolvers()

    def plans(text: str, *typed: str):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        file = SweepFile.read(path)
        return file, plan(file, typed)

    return plans


def test_its_cells_have_the_fingerprints_of_the_same_choices_in_a_grid(planned):
    _, cells = planned(FILE)
    grid = FILE.replace(FILE.split("\n")[3], "  norm: {values: [group, batch]}")
    _, plain = planned(grid)
    assert len(cells) == 8  # "" and norm=batch come out the same, and are one
    assert [len(cell.same) for cell in cells] == [0, 0, 1, 1, 0, 0, 0, 0]
    assert [cell.fingerprint for cell in cells[:4]] == [cell.fingerprint for cell in plain]
    assert cells[4].overrides[:2] == ["placement=full_pre_activation", "activation=gelu"]


def test_a_report_has_a_column_for_each_choice_and_names_what_differs(planned):
    file, cells = planned(FILE)
    comparison = from_plan(cells, file)
    assert list(comparison.factors) == ["norm", "placement", "activation", "model"]
    assert comparison.baseline.assignment == {
        "norm": "group",
        "placement": "original",
        "activation": "relu",
        "model": "resnet20",
    }
    assert [variant.label for variant in comparison.variants] == [
        "baseline",
        "norm=batch",
        "norm=batch placement=full_pre_activation activation=gelu",
        "norm=batch model=resnet50",
    ]
    assert json.dumps(comparison.factors).count("=") == 0


def test_what_is_typed_takes_the_place_of_what_a_variant_sets(planned):
    _, cells = planned(FILE, "norm=none")
    assert len(cells) == 6 and all("norm=none" in cell.overrides for cell in cells)
    _, cells = planned(FILE, "variant=activation=silu")
    assert len(cells) == 2 and all("activation=silu" in cell.overrides for cell in cells)


def test_a_variant_and_a_parameter_do_not_both_set_a_key(planned):
    with pytest.raises(InputError, match=r"norm is set twice, by variant and by norm"):
        planned(FILE + "  norm: {value: batch}\n")
    with pytest.raises(InputError, match=r"sweep\.yaml: variant: norm=: |sweep\.yaml: variant: 3"):
        planned(FILE.replace('""', "3"))


def test_two_files_are_one_study(planned):
    one = planned(FILE)
    other = planned(FILE.replace(FILE.split("\n")[3], "  norm: {values: [none, group]}"))
    comparison = from_plans([one, other])
    assert [variant.label for variant in comparison.variants][-1] == "norm=none"
    assert comparison.baseline.assignment["norm"] == "group"
    assert len(comparison.baseline.entries) == 2  # what both have counts once
