"""What an agent's command line becomes, by the form that the sweep file's `command` has."""

import json

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict

from ablate.configuration.parameters import arguments, permitted
from ablate.errors import InputError

AWKWARD = yaml.safe_load("""
shortcut: none
optimizer.lr: 1e-4
weight: .inf
compile: null
channels_last: false
model.stages: [1, 2]
tracking.tags: ["a, b", "null", "c=d", null]
tracking.name: "é {x: [y]} = 'z', \\"w\\" $5 \\\\"
tracking.group: ""
checkpoint: {every_n_epochs: 2, every_n_steps: null}
+trainer.limit: {a: {b: true}}
""")
ARRIVES = {
    "shortcut": "none",
    "optimizer.lr": 1e-4,
    "weight": float("inf"),
    "compile": None,
    "channels_last": False,
    "model.stages": [1, 2],
    "tracking.tags": ["a, b", "null", "c=d", None],
    "tracking.name": "é {x: [y]} = 'z', \"w\" $5 \\",
    "tracking.group": "",
    "checkpoint.every_n_epochs": 2,
    "checkpoint.every_n_steps": None,
    "+trainer.limit.a.b": True,
}


@pytest.fixture
def handed_over(monkeypatch, tmp_path):
    """handed_over(parameters, form): the arguments and the environment of an agent's process, by W&B's own code."""

    def hand_over(parameters: dict, form: str) -> list[str]:
        args = {name: {"value": value} for name, value in parameters.items()}
        save_config_file_from_dict(str(tmp_path / "config.yaml"), args)
        monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
        monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "config.yaml"))
        return create_sweep_command_args({"args": args})[form]

    return hand_over


def read(overrides: list[str]) -> dict:
    parsed = OverridesParser.create().parse_overrides(overrides)
    return {override.get_key_element(): override.value() for override in parsed}


def test_json_carries_every_value(handed_over):
    arrived = read(arguments(["trainer=cpu", *handed_over(AWKWARD, "args_json")]))
    assert arrived == {"trainer": "cpu", **ARRIVES}


PLAIN = {
    "shortcut": "none",
    "seed": 3,
    "optimizer.lr": 1e-4,
    "optimizer.nesterov": True,
    "model.stages": [1, 2],
    "tracking.tags": ["a, b", "it's"],
    "tracking.name": "",
}


def test_plain_words_and_numbers_arrive_without_json_too(handed_over):
    arrived = read(arguments(handed_over(PLAIN | {"optimizer.weight_decay": "1e-4"}, "args_no_hyphens")))
    assert arrived == PLAIN | {"optimizer.weight_decay": 1e-4}


@pytest.mark.parametrize("form", ["args_append_hydra", "args_override_hydra"])
def test_wandbs_hydra_forms_arrive(handed_over, form):
    plus = "+" if form == "args_append_hydra" else "++"
    assert read(arguments(handed_over({"x": 1}, form))) == {f"{plus}x": 1}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "write null"),
        ([0.1, None], "write null"),
        ("a, b", '"a, b"'),
        ("8", '"8"'),
        ("true", '"true"'),
        (" a", '" a"'),
        ("f(x)", '"f(x)"'),
        ({"a": 1}, "tracking.name.a"),
    ],
)
def test_what_plain_arguments_would_garble_is_refused(handed_over, value, says):
    typed = handed_over({"tracking.name": value}, "args_no_hyphens")
    with pytest.raises(InputError) as refused:
        arguments(typed)
    assert says in str(refused.value) and "${args_json}" in str(refused.value)
    exact = json.dumps({"tracking.name": value})
    assert list(read(arguments([exact])).values()) in ([value], [1])


def test_a_parameter_that_is_overridden_or_left_out_is_refused(handed_over):
    typed = handed_over({"seed": 3}, "args_json")
    with pytest.raises(InputError, match="seed"):
        arguments([*typed, "seed=4"])
    with pytest.raises(InputError, match="seed"):
        arguments(["trainer=cpu"])


@pytest.mark.parametrize("typed", ["compile=None", "tracking.tags=[a,None]", "compile=default,None", "+x={a:None}"])
def test_none_is_not_a_word(typed):
    with pytest.raises(InputError, match="null"):
        arguments([typed])
    assert arguments(["--cfg", "job", "tracking.name='None'"]) == ["--cfg", "job", "tracking.name='None'"]


def test_json_that_is_cut_off_is_refused():
    with pytest.raises(InputError, match="args_json"):
        arguments(['{"seed": 1'])


@pytest.mark.parametrize(
    "parameters",
    [
        {"hydra.run.dir": "/tmp"},
        {"hydra": {"callbacks": {"x": {"_target_": "os.system"}}}},
        {"hydra/launcher": "basic"},
        {"+trainer.callbacks": [{"_target_": "os.system"}]},
        {"+trainer.profiler": "simple"},
        {"+trainer.callbacks": 5},
        {"runs_dir": "/etc"},
        {"data.root": "/etc"},
        {"norm": {"_target_": "joblib.load", "filename": "x"}},
        {"norm._target_": "joblib.load"},
        {"optimizer": [{"a": {"_target_": "os.system"}}]},
        {"agent.allow": ["hydra"]},
    ],
)
def test_a_server_does_not_choose_what_is_run_or_where(handed_over, parameters):
    typed = handed_over(parameters, "args_json")
    with pytest.raises(InputError, match=r"agent\.allow"):
        permitted(typed)
    (name,) = {name.lstrip("+").replace("/", ".").split(".")[0] for name in parameters}
    both = [*typed, f"agent.allow=[{name}]"]
    if "/" not in next(iter(parameters)) and name != "agent":
        assert permitted(both) == typed, "allowed by the command, and the word itself is gone"


def test_what_is_added_by_the_form_of_the_arguments_is_refused_too(handed_over):
    with pytest.raises(InputError, match="must not decide"):
        permitted(handed_over({"trainer.profiler": "simple"}, "args_append_hydra"))
    with pytest.raises(InputError, match="must not decide"):
        permitted(handed_over({"anything": "new"}, "args_append_hydra"))
    plain = handed_over({"+trainer.limit_train_batches": 300, "+trainer.limit_val_batches": 0.5}, "args_json")
    assert len(permitted(arguments(plain))) == 2
    assert permitted(typed := handed_over({"optimizer.lr": 1, "shortcut": "none"}, "args_json")) == typed
    assert permitted(["runs_dir=/etc"]) == ["runs_dir=/etc"], "what a person types is theirs"
