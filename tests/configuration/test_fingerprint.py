"""The names of stored results stay as they are: those of results/ that no machine's `auto` has a part in."""

import json
import shlex

import pytest

from ablate.configuration.composition import CONF, Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
from ablate.training.settings import resolve_auto

CHOICES = {
    "precision": ["baseline", "trainer.precision=bf16-mixed"],
    "norm": ["baseline", "norm=none"],
    "shortcuts": ["shortcut=projection", "shortcut=none"],
    "depth": ["baseline"],
    "placement": ["placement=norm_after_add"],
}


@pytest.mark.parametrize(("report", "label"), [(name, label) for name, labels in CHOICES.items() for label in labels])
def test_a_stored_result_keeps_its_name(report, label):
    register_resolvers()
    compared = json.loads((CONF.parent / "results" / report / "comparison.json").read_text())
    variant = next(variant for variant in compared["variants"] if variant["label"] == label)
    first = variant["runs"][0]
    typed = [text for text in shlex.split(variant["command"])[4:] if not text.startswith("seed=")]
    precision = [] if report == "precision" else ["trainer.precision=bf16-mixed"]  # what auto was there
    values = Composition.of([*typed, f"seed={first['seed']}", "trainer=cpu", *precision]).values()
    resolve_auto(values)
    assert fingerprint(values) == first["fingerprint"]
