"""Every value of YAML and JSON passes through Hydra's own parser unchanged, or is refused."""

import math
import re
from datetime import date

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ablate.configuration.overrides import flattened, override
from ablate.errors import InputError

PARSER = OverridesParser.create()

AWKWARD = "\"'\\,=:()[]{} \t\n$@#&|/+-.%*?éß漢0123456789eEnulltruefalsNOI_"
STRINGS = st.text(AWKWARD, max_size=12) | st.text(max_size=12)
KEYS = st.text("abcXYZ019_-+./\\()[]{}:=, \t$%*@?|", min_size=1, max_size=8) | st.integers()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | STRINGS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def same(one: object, other: object) -> bool:
    """Equal, of equal types all the way down; nan is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, float):
        return one.hex() == other.hex()
    return one == other


def refusable(value: object) -> bool:
    """What may be refused, as it cannot arrive as it is: see `override`."""
    if isinstance(value, list):
        return any(map(refusable, value))
    if isinstance(value, dict):
        return any(map(refusable, value.values())) or any(isinstance(key, str) and no_key(key) for key in value)
    return isinstance(value, str) and (value in ("None", "???") or "${" in value)


def no_key(word: str) -> bool:
    """Mapping keys have no quotes in Hydra's grammar: no key that reads as a number."""
    return re.fullmatch(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d[\d_]*)?", word, re.I) is not None


@settings(max_examples=200, deadline=None)
@given(VALUES)
@example("a='b', {c: \"d\\\\\"}")
@example(["\\", "'", "\\'", ""])
@example([1e-4, 1e-05, 1e16, math.inf, -math.inf, -0.0, 0, 10**30])
@example({"00": None})  # no number in Hydra's grammar, so it arrives
@example({"a b": {"c,d": [None, True, "true", "null", "1", "1e-4", "nan", "no", ""]}})
def test_hydra_reads_back_what_was_written(value):
    try:
        text = override("some.key", value)
    except InputError:
        assert refusable(value)
        return
    read = PARSER.parse_override(text)
    assert read.key_or_group == "some.key" and not read.is_sweep_override()
    assert same(read.value(), value), text


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("compile", "None", ["compile=None", "null", "${args_json}"]),
        ("some.list", [1, {"a": ["None"]}], ["null"]),
        ("tracking.name", "${seed}", ["${seed}", "literally"]),
        ("tracking.name", "???", ["???"]),
        ("tracking.name", "\ud800", ["written to a file"]),
        ("tracking.name", date(2015, 12, 10), ["date", "quote it"]),
        ("some.mapping", {"1": 2}, ["some.mapping", "'1'"]),
        ("some.mapping", {"": 2}, ["some.mapping", "''"]),
        ("optimizer lr", 1, ["'optimizer lr'", "optimizer.lr"]),
        ("--optimizer.lr", 1, ["'--optimizer.lr'"]),
        ("~optimizer", 1, ["'~optimizer'"]),
        ("", 1, ["''"]),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(key, value, says):
    with pytest.raises(InputError) as refused:
        override(key, value)
    assert all(words in str(refused.value) for words in says), refused.value


@pytest.mark.parametrize("key", ["seed", "optimizer.lr", "+trainer.limit_val_batches", "block@other", "a.0.b-c", "++x"])
def test_a_key_is_read_back(key):
    assert PARSER.parse_override(override(key, 1)).get_key_element() == key


@pytest.mark.parametrize("option", ["none", "null", "true", "8", "1e-4", "a b", "No", "3x3"])
def test_an_option_is_the_name_of_a_file(tmp_path, option):
    (tmp_path / "shortcut").mkdir()
    (tmp_path / "shortcut" / f"{option}.yaml").write_text("found: true\n")
    (tmp_path / "config.yaml").write_text("defaults: [{shortcut: null}]\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose("config", overrides=[override("shortcut", option)]).shortcut.found


def test_a_plain_word_is_typed_as_people_type_it():
    assert override("shortcut", "none") == "shortcut=none"
    assert override("optimizer.lr", 1e-4) == "optimizer.lr=0.0001"
    assert override("compile", None) == "compile=null"


def test_nested_parameters_are_flattened_and_pyyamls_words_are_numbers():
    parameters = yaml.safe_load(
        "{optimizer: {lr: 1e-4, betas: [9e-1, 1E+2]}, seed: 1, a: {b: {c: x, d: {}}}, name: 1e-4b}"
    )
    assert parameters["optimizer"]["lr"] == "1e-4"
    assert flattened(parameters) == {
        "optimizer.lr": 1e-4,
        "optimizer.betas": [0.9, 100.0],
        "seed": 1,
        "a.b.c": "x",
        "a.b.d": {},
        "name": "1e-4b",
    }
