"""What a worker pays once, and what it pays for every cell."""

import json
import subprocess
import sys

from ablate.configuration import composition
from ablate.runs import cell, checks


def test_a_worker_composes_each_further_seed_once_and_counts_no_network_twice(prepared, monkeypatch):
    composed, counted = [], []
    compose, count = composition.compose, checks._cost

    def composing(config_name, overrides, **kwargs):
        composed.append(overrides)
        return compose(config_name, overrides=overrides, **kwargs)

    monkeypatch.setattr(composition, "compose", composing)
    monkeypatch.setattr(checks, "_cost", lambda *arguments: counted.append(arguments) or count(*arguments))
    monkeypatch.setattr(cell, "_checks", checks.Checks())
    first = prepared("norm=none", "seed=0")
    assert first.composition.name.endswith("norm=none")
    before = len(composed)
    second = prepared("norm=none", "seed=1")
    assert second.composition.name.endswith("norm=none seed=1") and second.cost == first.cost
    assert len(composed) == before + 1 and len(counted) == 1
    assert prepared("norm=batch", "seed=1").cost.params > first.cost.params and len(counted) == 2


def test_what_was_composed_is_known_only_to_its_own_application(monkeypatch):
    """Applications have search paths, and so folders of options, of their own."""
    asked = []
    monkeypatch.setattr(composition, "composed", lambda overrides: asked.append(overrides) or object())
    here, there = object(), object()
    known = composition._known("seed=123", loader=here)
    assert composition._known("seed=123", loader=here) is known
    assert composition._known("seed=123", loader=there) is not known
    assert asked == [["seed=123"]] * 2


GPU_ASKED = """
import json, torch
asked = []
for name in ("_lazy_init", "is_available", "device_count"):
    kept = getattr(torch.cuda, name)
    setattr(torch.cuda, name, lambda *arguments, name=name, kept=kept: asked.append(name) or kept(*arguments))
import ablate.sweep.engines.pool_server
print(json.dumps(asked))
"""


def test_what_workers_are_forked_from_leaves_the_gpu_alone():
    """CUDA does not work in a process that is forked from one where it has begun."""
    command = [sys.executable, "-c", GPU_ASKED]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == []
