"""The names of stored results stay as they are: those of results/ that no machine's `auto` has a part in."""

import json
import os
import shlex
import subprocess
import sys

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


NAMED = """
from ablate.configuration.composition import Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
register_resolvers()
print(list({"norm", "shortcut", "stem", "init"}))
print(fingerprint(Composition.of(["recipe=he2016_cifar", "vary=[split,init,order]"]).values()))
"""


def test_a_name_does_not_depend_on_the_order_of_sets():
    """It is that of every process, whatever seed Python's hashes have there."""
    orders, names = set(), set()
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", NAMED], env=environment, capture_output=True, text=True, check=True
        )
        order, name = done.stdout.splitlines()
        orders.add(order)
        names.add(name)
    assert len(orders) > 1 and len(names) == 1 and len(name) == 12
