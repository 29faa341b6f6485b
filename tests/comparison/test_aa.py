"""`ablate aa`, with simulated trainings: a sweep's baseline against itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from ablate.__main__ import called
from ablate.api import sweeping
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.sweep import execution

VALUES = 0.8 + 0.01 * np.random.default_rng(3).normal(size=20)
TYPED = ["ours.yaml", "trainer=cpu", "threads=1", "hydra/launcher=basic"]


@pytest.fixture
def trained(tmp_path, monkeypatch, simulate):
    """What has been trained: (overrides' choices, seed)."""
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    parameters = {"norm": {"values": ["group", "none"]}, "seed": {"values": [3, 5]}}
    Path("ours.yaml").write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}), encoding="utf-8")
    done: list[tuple[str, int]] = []

    def train(cells, request, view):
        for cell in cells:
            norm, seed = cell.assignment["norm"], cell.assignment["seed"]
            value = float(VALUES[seed])
            simulate(tmp_path / "runs", {"norm": norm}, seed, value, history=False, directory=cell.directory)
            done.append((norm, seed))
            cell.look()

    monkeypatch.setattr(execution, "sweep", train)
    monkeypatch.setattr(sweeping, "Here", lambda: None)
    return done


def test_only_the_baseline_is_run_with_seeds_numbered_on(trained, capsys):
    assert called("aa", [*TYPED, "--seeds", "6", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert trained == [("group", seed) for seed in (3, 5, 6, 7, 8, 9)]
    own = VALUES[[3, 5, 6, 7, 8, 9]]
    assert made["values"] == pytest.approx(list(own))
    assert made["deviation"] == pytest.approx(own.std(ddof=1))
    assert [floor["seeds"] for floor in made["floors"]] == [1, 2, 3]
    assert made["floors"][0]["within"] == pytest.approx(own.max() - own.min(), rel=0.3)
    # Again, and with more seeds: only those are trained.
    trained.clear()
    assert called("aa", [*TYPED, "--seeds", "8"]) == 0
    assert trained == [("group", 10), ("group", 11)]
    said = capsys.readouterr().out
    assert "8 seeds of the baseline: test/acc" in said and "95% of differences are within" in said


def test_what_cannot_be_is_refused(trained):
    with pytest.raises(InputError, match="two at least"):
        called("aa", [*TYPED, "--seeds", "1"])
    with pytest.raises(InputError, match="leave seed= out"):
        called("aa", [*TYPED, "seed=3"])
    assert trained == []
