"""Seeds that are added in rounds, by the command: which runs it asks for, what it keeps to, and what a report says."""

import json

import numpy as np
import pytest
import yaml
from scipy import stats

from ablate.__main__ import called
from ablate.commands import until_decided
from ablate.comparison.looking import rounds
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.sweep import execution

# Test accuracy by norm and seed: without norm it is clearly worse; group is like batch; layer a little worse.
RANDOM = np.random.default_rng(0)
NOISE = {norm: 0.01 * RANDOM.normal(size=16) for norm in ("batch", "none", "group", "layer")}
MEANS = {"batch": 0.9, "none": 0.6, "group": 0.9, "layer": 0.893}


@pytest.fixture
def sweeping(tmp_path, monkeypatch, simulate):
    """`sweeping(norms, *flags)`: the command, with simulated trainings; returns what was trained."""
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    trained: list[tuple[str, int]] = []
    stop_after: list[int] = []

    def train(cells, request, view):
        for cell in cells:
            if stop_after and len(trained) >= stop_after[0]:
                stop_after.clear()
                raise KeyboardInterrupt
            norm, seed = cell.assignment["norm"], cell.assignment["seed"]
            value = MEANS[norm] + NOISE[norm][seed]
            simulate(tmp_path / "runs", {"norm": norm}, seed, value, history=False, directory=cell.directory)
            trained.append((norm, seed))
            cell.look()

    monkeypatch.setattr(execution, "sweep", train)
    monkeypatch.setattr(until_decided, "Here", lambda: None)  # simulated runs are of no code that is here

    def command(norms, *flags, seeds=(0, 1, 2), interrupted_after=None):
        grid = {"norm": {"values": list(norms)}, "seed": {"values": list(seeds)}}
        (tmp_path / "ours.yaml").write_text(yaml.safe_dump({"method": "grid", "parameters": grid}, sort_keys=False))
        trained.clear()
        stop_after[:] = [] if interrupted_after is None else [interrupted_after]
        code = called(
            "sweep", ["ours.yaml", "trainer=cpu", "threads=1", "hydra/launcher=basic", "--until-decided", *flags]
        )
        return code, list(trained)

    return command


def test_a_variant_stops_when_it_is_decided_and_the_baseline_goes_on(sweeping, tmp_path, capsys):
    code, trained = sweeping(("batch", "none", "layer"))
    assert code == 0
    seeds = {norm: sorted(seed for name, seed in trained if name == norm) for norm in ("batch", "none", "layer")}
    assert seeds["none"] == [0, 1, 2, 3]
    assert seeds["batch"] == seeds["layer"] and len(seeds["batch"]) in (6, 8, 12)
    out = capsys.readouterr().out
    assert "look 1 of 4, at 4 seeds: 2 variants go on, 12 runs." in out
    assert "all 12 seeds of every variant would have taken 36" in out
    # Asked again, there is nothing to do, and it says the same.
    assert sweeping(("batch", "none", "layer")) == (0, [])
    assert capsys.readouterr().out.splitlines()[-6:] == out.splitlines()[-6:]

    called("report", ["ours.yaml", "trainer=cpu", "threads=1", "--json"])
    made = json.loads(capsys.readouterr().out)
    none = next(variant for variant in made["variants"] if variant["label"] == "norm=none")
    assert none["decision"]["outcome"] == none["verdict"] == "worse"
    assert none["decision"]["seeds"] == none["n"] == 4
    # The interval is wider than the one of a single look at four seeds.
    differences = [NOISE["none"][seed] - NOISE["batch"][seed] - 0.3 for seed in range(4)]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert none["difference"]["interval"][0] < low and none["difference"]["interval"][1] > high
    assert any("Decided at 4 seeds: norm=none (worse)." in note for note in made["notes"])


@pytest.mark.parametrize("after", [3, 13])
def test_an_interruption_changes_nothing(sweeping, after):
    with pytest.raises(KeyboardInterrupt):
        sweeping(("batch", "none", "layer"), interrupted_after=after)
    code, rest = sweeping(("batch", "none", "layer"))
    assert code == 0
    undisturbed = {"batch", "layer"}
    assert {norm for norm, seed in rest if seed > 3} == undisturbed and not any(n == "none" and s > 3 for n, s in rest)


def test_rules_hold_once_they_are_laid_down(sweeping, tmp_path, capsys):
    sweeping(("batch", "group"), "--margin", "3")
    (path,) = (tmp_path / "runs" / ".rounds").glob("*.json")
    assert json.loads(path.read_text())["margin"] == pytest.approx(0.03)
    with pytest.raises(InputError, match=r"began with other rules .margin 3, not 2.*--new-rules"):
        sweeping(("batch", "group"), "--margin", "2")
    with pytest.raises(InputError, match="looks 4,6,8,12, not 4,6"):
        sweeping(("batch", "group"), "--margin", "3", "--looks", "4,6")
    capsys.readouterr()
    sweeping(("batch", "group"), "--margin", "2", "--new-rules")
    assert "the rules have changed" in capsys.readouterr().out
    called("report", ["ours.yaml", "trainer=cpu", "threads=1", "--json"])
    assert any("The rules were changed" in note for note in json.loads(capsys.readouterr().out)["notes"])


def test_a_variant_that_joins_later_is_a_family_of_its_own(sweeping, tmp_path, capsys):
    sweeping(("batch", "none"))
    (path,) = (tmp_path / "runs" / ".rounds").glob("*.json")
    capsys.readouterr()
    code, trained = sweeping(("batch", "none", "layer"))
    assert code == 0 and {norm for norm, _ in trained} == {"batch", "layer"}
    assert "joined later, so a family of its own: norm=layer." in capsys.readouterr().out
    assert [list(family.values()) for family in rounds.read(path).families] == [["norm=none"], ["norm=layer"]]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--looks", "4,x"), "numbers of seeds"),
        (("--looks", "6,4"), "rising numbers"),
        (("--spending", "all"), "there are pocock, obrien_fleming"),
        (("--metric", "test/quality"), "goal"),
        (("seed=3",), "leave seed= out"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_run(sweeping, tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        sweeping(("batch", "none"), *flags)
    assert not (tmp_path / "runs").exists()


def test_rules_that_cannot_be_read_are_named(sweeping, tmp_path):
    sweeping(("batch", "none"))
    (path,) = (tmp_path / "runs" / ".rounds").glob("*.json")
    path.write_text("{")
    with pytest.raises(InputError, match="move it away"):
        sweeping(("batch", "none"))


def _reported(capsys):
    """The report, and its only variant."""
    capsys.readouterr()
    called("report", ["ours.yaml", "trainer=cpu", "threads=1", "--json"])
    made = json.loads(capsys.readouterr().out)
    return made, next(variant for variant in made["variants"] if not variant["is_baseline"])


def test_before_the_first_look_a_report_calls_nothing(sweeping, capsys):
    with pytest.raises(KeyboardInterrupt):
        sweeping(("batch", "none"), interrupted_after=7)  # three pairs, of which a t-test would call none worse
    made, none = _reported(capsys)
    assert none["verdict"] == "goes on" and none["difference"] is None
    assert made["answer"] == ["The first look is at 4 seeds: before it nothing is compared."]


def test_on_the_way_a_report_says_what_the_last_look_said(sweeping, monkeypatch, capsys):
    monkeypatch.setitem(NOISE, "layer", NOISE["group"] + 0.012)
    with pytest.raises(KeyboardInterrupt):
        sweeping(("batch", "layer"), "--looks", "3,8", interrupted_after=9)
    made, layer = _reported(capsys)
    assert layer["verdict"] == layer["decision"]["outcome"] == "goes on"
    assert layer["difference"]["n"] == 3 and layer["difference"]["p_holm"] > 0.05
    assert any("Not decided yet: norm=layer." in note for note in made["notes"])
    # What is still possible is wider than the interval of a single look.
    differences = MEANS["layer"] - MEANS["batch"] + (NOISE["layer"] - NOISE["batch"])[:3]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert layer["difference"]["interval"][0] < low and layer["difference"]["interval"][1] > high


def test_where_one_side_never_learns_there_is_no_interval(sweeping, monkeypatch, capsys):
    monkeypatch.setitem(MEANS, "none", 0.1)
    monkeypatch.setitem(NOISE, "none", 0.001 * np.arange(16))
    sweeping(("batch", "none"))
    made, none = _reported(capsys)
    assert none["verdict"] == "worse" and none["difference"]["interval"] is None
    assert "no interval, as one side is at chance in every seed" in made["answer"][0]
    assert any("one is at chance in every seed" in note for note in made["notes"])


def test_what_a_look_finds_equivalent_the_report_calls_so(sweeping, capsys):
    sweeping(("batch", "group"), "--margin", "5")
    made, _ = _reported(capsys)
    assert made["margin"] == pytest.approx(0.05)
    assert made["answer"][0].startswith("The variant is equivalent to the baseline within 5.00 points")


def _planned(capsys):
    capsys.readouterr()
    code = called("plan", ["ours.yaml", "trainer=cpu", "threads=1", "--until-decided", "--json"])
    return code, json.loads(capsys.readouterr().out)["rounds"]


def test_a_plan_says_how_many_runs_at_least_and_at_most(sweeping, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(until_decided, "estimate", lambda cells, measure: None)
    with pytest.raises(KeyboardInterrupt):
        sweeping(("batch", "none", "layer"), interrupted_after=2)
    code, ahead = _planned(capsys)
    assert code == 0 and (ahead["least"], ahead["most"], ahead["done"]) == (3 * 4, 3 * 12, 2)
    # Whether both differ clearly or not at all, most sweeps end long before the last look.
    assert 12 <= ahead["if_different"] < 27 and 12 < ahead["if_equal"] < 27

    # Once none is decided, the others are counted from where they are.
    with pytest.raises(KeyboardInterrupt):
        sweeping(("batch", "none", "layer"), interrupted_after=11)
    _, ahead = _planned(capsys)
    assert (ahead["least"], ahead["most"], ahead["done"]) == (4 + 6 + 6, 4 + 12 + 12, 13)
    assert ahead["if_equal"] is None

    sweeping(("batch", "none", "layer"))
    _, ahead = _planned(capsys)
    assert ahead["least"] == ahead["most"] == ahead["done"]


def test_a_plan_says_it_in_words_and_trains_nothing(sweeping, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(until_decided, "estimate", lambda cells, measure: None)
    sweeping(("batch", "none"))
    called("plan", ["ours.yaml", "trainer=cpu", "threads=1", "--until-decided", "runs_dir=others"])
    said = capsys.readouterr().out
    assert "with looks at 4, 6, 8, 12: 8 runs at least, 24 at most, 0 of them done. To be expected are about" in said
    assert not (tmp_path / "others").exists()
