"""`ablate simulate` of seeds in rounds: arrays decide as the rules do, and the tables are the document's."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablate.__main__ import called
from ablate.comparison.simulation import arrays, in_rounds, search
from ablate.comparison.simulation.arrays import OUTCOMES, played
from ablate.errors import InputError
from ablate.statistics import splits
from ablate.statistics.judgement import assessed
from ablate.statistics.rounds import Rules, standing
from ablate.statistics.sequential import Looks

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "simulations.md").read_text(encoding="utf-8")
LOOKS = Looks((4, 6, 8, 12))


def drawn(noise, sweeps, designs=4, seeds=12):
    """Sweeps x designs x seeds; the last design is better by the noise."""
    random = np.random.default_rng([7, *noise.encode()])
    shape = sweeps, designs, seeds
    spread = random.standard_t(3, shape) if noise == "heavy" else random.normal(size=shape)
    values = 0.8 + 0.01 * spread
    if share := {"half": 0.5, "some": 0.15}.get(noise):
        values[random.random(shape) < share] -= 0.7
    values[:, -1] += 0.01
    return values


@pytest.mark.parametrize(
    ("noise", "margin", "chance", "spending", "sweeps"),
    [
        ("normal", None, 0.1, "pocock", 110),  # so many that chances are looked up in the grid
        ("normal", None, None, "obrien_fleming", 30),
        ("normal", 0.015, None, "pocock", 30),
        ("heavy", None, 0.1, "pocock", 110),
        ("heavy", 0.02, None, "pocock", 30),
        ("half", None, None, "pocock", 40),
        ("half", None, 0.1, "pocock", 40),
        ("some", None, None, "obrien_fleming", 40),
        ("some", 0.015, 0.1, "pocock", 40),
    ],
)
def test_what_arrays_decide_the_rules_decide(noise, margin, chance, spending, sweeps):
    rules, values = Rules(Looks(LOOKS.seeds, spending), 3, margin), drawn(noise, sweeps)
    ended = played(values, rules, chance)
    for sweep, (baseline, *variants) in enumerate(values):
        found = standing(list(baseline), {str(i): list(own) for i, own in enumerate(variants)}, rules, chance).decisions
        for i, variant in enumerate(variants):
            decision = found[str(i)]
            assert (OUTCOMES[ended.outcome[sweep, i]], ended.look[sweep, i]) == (decision.outcome, decision.look)
            assert np.isnan(ended.low[sweep, i]) != decision.has_interval
            if decision.has_interval:
                n = LOOKS.seeds[decision.look]
                change = variant[:n] - baseline[:n]
                middle = (ended.low[sweep, i] + ended.high[sweep, i]) / 2
                assert middle == pytest.approx(change.mean())
                half = rules.looks.half_width(decision.look, change.std(ddof=1))
                assert ended.high[sweep, i] - middle == pytest.approx(half)


@pytest.mark.parametrize("seeds", [3, 4, 8])
@pytest.mark.parametrize("noise", ["normal", "heavy", "half", "some"])
@pytest.mark.parametrize("chance", [None, 0.1])
def test_low_seeds_are_those_of_the_rules(noise, seeds, chance):
    values = drawn(noise, 200, 5, seeds)
    takes_part = np.random.default_rng(8).random((200, 5)) < 0.8
    low = arrays.low_seeds(values, takes_part, chance)
    assert not low[~takes_part].any()
    for sweep, part, found in zip(values, takes_part, low, strict=True):
        asked = splits.low_seeds([dict(enumerate(own)) for own in sweep[part]], chance)
        assert [set(np.flatnonzero(own)) for own in found[part]] == asked


def test_ranks_have_the_p_that_scipy_has():
    for n in (4, 6):
        random = np.random.default_rng(n)
        for _ in range(30):
            ours, theirs = random.normal(size=n) + 0.8, random.normal(size=n)
            test = stats.mannwhitneyu(ours, theirs, method="exact")
            assert arrays._rank_sum_p(n)[int(test.statistic)] == pytest.approx(test.pvalue)
            assert assessed(None, list(ours), list(theirs), low=(1, 0)).p == pytest.approx(test.pvalue)


def test_the_baseline_goes_on_as_long_as_any_variant():
    look = np.array([[0, 0], [0, 2], [3, 3]])
    made = arrays.Played(LOOKS, look, look, look * np.nan, look * np.nan)
    assert made.runs.tolist() == [4 + 4 + 4, 4 + 8 + 8, 12 + 12 + 12]


def test_equal_designs_and_one_that_differs(monkeypatch, capsys):
    """5% and four standard errors of the false; the power of one look is the one that the difference was made for."""
    monkeypatch.setattr(in_rounds, "DESIGNS", (1,))
    monkeypatch.setattr(in_rounds, "EFFECTS", {"what t finds in 80%": 1.0})
    monkeypatch.setattr(in_rounds, "MARGINS", {"differs by the margin": 2.0, "does not differ": 0.0})
    called("simulate", ["--until-decided", "--sweeps", "2500", "--json"])
    rows = {(row["kind"], row["noise"], row["spending"]): row for row in json.loads(capsys.readouterr().out)}
    for noise in in_rounds.NOISES:
        assert rows["equal", noise, "pocock"]["found"] < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2500)
    assert rows["equal", "normal", "pocock"]["covered"] > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 2500)
    assert rows["equal", "half of the seeds at chance", "pocock"]["withheld"] > 0.9
    row = rows["what t finds in 80%", "normal", "pocock"]
    assert row["alone"] == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 250))
    assert 0.5 < row["called"] < row["alone"] and row["runs"] < row["full"] == 24
    assert rows["what t finds in 80%", "normal", "obrien_fleming"]["called"] > row["called"]
    assert rows["differs by the margin", "normal", "pocock"]["called"] < 0.05
    assert rows["does not differ", "normal", "pocock"]["called"] > 0.9


@pytest.mark.long
@pytest.mark.parametrize("designs", in_rounds.DESIGNS)
def test_the_documents_rows_are_what_the_command_prints(designs, monkeypatch, capsys):
    monkeypatch.setattr(in_rounds, "DESIGNS", (designs,))
    monkeypatch.setattr(
        in_rounds, "NOISES", {name: in_rounds.NOISES[name] for name in ("half of the seeds at chance",)}
    )
    monkeypatch.setattr(in_rounds, "with_effect", lambda looks, sweeps: iter(()))
    monkeypatch.setattr(in_rounds, "with_margin", lambda looks, sweeps: iter(()))
    called("simulate", ["--until-decided", "--sweeps", "100000"])
    head, _, line, *_ = capsys.readouterr().out.splitlines()
    assert head in DOCUMENT and line.startswith("| half of the seeds at chance |") and line in DOCUMENT


def test_a_search_among_candidates_that_do_nothing():
    rows = {row.rule: row for row in search.search(Looks((4, 6)), 60, candidates=6)}
    assert rows["higher mean"].mean == pytest.approx(3, abs=1) and rows["higher mean"].any > 0.7
    assert rows["ablate judge"].any <= rows["two sigma"].any < rows["higher mean"].any
    assert 4 <= rows["ablate judge"].runs <= 6


def test_the_stored_study_replayed(capsys):
    files = [str(ROOT / "results" / name / "comparison.json") for name in ("depth", "shortcuts")]
    called("simulate", ["--replay", *files, "--looks", "4,6,8", "--sweeps", "20"])
    *_, depth, _, both = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    assert depth[0] == "depth" and float(depth[2]) < float(depth[3]) == 48
    assert depth[4] == "5" and depth[5] == "5.00"  # all five that eight seeds call, in every order
    assert both[:2] == ["all", "8"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--replay", "nowhere.json"], "not there"),
        (["--replay", str(ROOT / "results" / "cost" / "comparison.json")], "fewer seeds than the last look's 12"),
        (["--replay", str(ROOT / "pyproject.toml")], "no comparison.json"),
        (["--until-decided", "normal"], "leave them out"),
        (["--until-decided", "--looks", "4,x"], "numbers of seeds"),
        (["--judge", "--sweeps", "0"], "at least"),
    ],
)
def test_what_cannot_be_simulated_is_refused(words, said):
    with pytest.raises(InputError, match=said):
        called("simulate", words)
