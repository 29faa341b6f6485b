"""`ablate judge`, with simulated trainings."""

import json

import numpy as np
import pytest

from ablate.__main__ import called
from ablate.commands import judge
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.statistics.ledger import share
from ablate.sweep import execution

RANDOM = np.random.default_rng(0)
NOISE = {norm: 0.01 * RANDOM.normal(size=16) for norm in ("batch", "none", "group")}
MEANS = {"batch": 0.8, "none": 0.5, "group": 0.95}


@pytest.fixture
def judged(tmp_path, monkeypatch, simulate, capsys):
    """`judged(baseline, candidate, *words)`: exit code, and the judgement."""
    register_resolvers()
    monkeypatch.chdir(tmp_path)

    def train(cells, request, view):
        for cell in cells:
            norm, seed = cell.assignment.get("norm", "batch"), cell.values["seed"]
            value = MEANS[norm] + NOISE[norm][seed]
            typed = {"norm": norm} if "norm" in cell.assignment else {}
            simulate(tmp_path / "runs", typed, seed, value, history=False, directory=cell.directory)
            cell.look()

    monkeypatch.setattr(execution, "sweep", train)
    monkeypatch.setattr(judge, "Here", lambda: None)

    def command(*words):
        capsys.readouterr()
        typed = ["trainer=cpu", "threads=1", "hydra/launcher=basic"]
        code = called("judge", [*words[:2], *typed, *words[2:], "--json"])
        return code, json.loads(capsys.readouterr().out)

    return command


def test_every_outcome_has_its_exit_code(judged):
    assert judged("", "norm=group")[0] == 0
    assert judged("", "norm=none")[0] == 4
    code, made = judged("norm=none", "norm=group", "--looks", "4,6")
    assert code == 0 and made["outcome"] == "better" and made["seeds"] == 4
    assert made["difference"] == pytest.approx(0.45, abs=0.02)


def test_equivalence_and_doubt(judged, monkeypatch):
    monkeypatch.setitem(MEANS, "none", MEANS["batch"])
    assert judged("", "norm=none", "--margin", "5")[0] == 3
    monkeypatch.setitem(MEANS, "group", MEANS["batch"])
    code, made = judged("", "norm=group")
    assert code == 5 and made["outcome"] in ("given up", "undecided")
    assert made["interval"][0] < 0 < made["interval"][1]


def test_candidates_share_the_level_and_keep_theirs(judged, tmp_path):
    first = judged("", "norm=none")[1]
    second = judged("", "norm=group")[1]
    assert first["level"] == pytest.approx(0.05 * share(1))
    assert second["level"] == pytest.approx(0.05 * share(2) + first["level"])  # which was called
    assert judged("", "norm=none")[1] == first
    (ledger,) = (tmp_path / "runs" / ".rounds").glob("judgements-*.json")
    assert [entry["outcome"] for entry in json.loads(ledger.read_text())] == ["worse", "better"]


def test_a_runs_folder_stands_for_its_choices(judged, tmp_path):
    made = judged("", "norm=none")[1]
    run = next(p for p in (tmp_path / "runs").glob("*/run.json") if "norm=none" in p.read_text()).parent
    assert judged("", str(run))[1]["difference"] == pytest.approx(made["difference"])


@pytest.mark.parametrize("candidate", ["", "norm=batch"])
def test_a_candidate_that_is_the_baseline_is_refused(judged, tmp_path, candidate):
    with pytest.raises(InputError, match="are the same configuration"):
        judged("", candidate)
    assert not (tmp_path / "runs").exists()
