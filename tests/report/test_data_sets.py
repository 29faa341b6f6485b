"""Designs on several data sets: a table in which each is compared on its own data."""

import json

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.report.contents import contents
from ablate.report.folder import write

SEEDS = range(6)


def value(data: str, norm: str, seed: int) -> float:
    """digits is the easier one; without norm it is worse on both, more so on fashion_mnist."""
    base = 0.9 if data == "digits" else 0.7
    drop = {"batch": 0.0, "none": 0.02 if data == "digits" else 0.05, "group": 0.0}[norm]
    return base - drop + seed / 100 + (seed * (ord(norm[0]) + len(data)) % 7) / 700


@pytest.fixture
def made(run, compared):
    for data in ("digits", "fashion_mnist"):
        for norm in ("batch", "none", "group"):
            if (data, norm) != ("fashion_mnist", "group"):
                for seed in SEEDS:
                    run({"data": data, "norm": norm}, seed, value(data, norm, seed), history=False)
    return contents(compared())


def test_each_is_compared_on_its_own_data(made, tmp_path):
    write(made, tmp_path / "report")
    known = json.loads((tmp_path / "report" / "comparison.json").read_text())["data_sets"]
    assert known["data"] == ["digits", "fashion_mnist"] and list(known["designs"]) == [
        "baseline",
        "norm=group",
        "norm=none",
    ]
    none, group = known["designs"]["norm=none"], known["designs"]["norm=group"]
    assert group[1] is None and known["tests"] == 3
    pairs = [("digits", "group"), ("digits", "none"), ("fashion_mnist", "none")]
    p = [
        stats.ttest_rel([value(d, n, s) for s in SEEDS], [value(d, "batch", s) for s in SEEDS]).pvalue for d, n in pairs
    ]
    expected = dict(zip(pairs, multipletests(p, method="holm")[1], strict=True))
    assert none[0]["p_holm"] == pytest.approx(expected["digits", "none"])
    assert none[1]["p_holm"] == pytest.approx(expected["fashion_mnist", "none"])
    assert group[0]["p_holm"] == pytest.approx(expected["digits", "group"])
    assert [cell["verdict"] for cell in none] == ["worse", "worse"]
    assert none[1]["change"]["difference"] == pytest.approx(
        sum(value("fashion_mnist", "none", s) - value("fashion_mnist", "batch", s) for s in SEEDS) / 6
    )


def test_the_tables_are_written_and_shown(made, tmp_path):
    write(made, tmp_path / "report")
    markdown = (tmp_path / "report" / "data_sets.md").read_text()
    assert "| design | digits | fashion_mnist |" in markdown.replace("\\_", "_")
    assert "worse) |" in markdown and "| –" in markdown
    latex = (tmp_path / "report" / "data_sets.tex").read_text()
    assert r"design & digits & fashion\_mnist \\" in latex and latex.count(r"\\") == 4
    assert r"\begin{tabular}{lrr}" in latex and "−" not in latex.split("\n", 1)[1]
    assert "Designs by data set" in (tmp_path / "report" / "index.html").read_text()
    assert any("on other data says nothing" in note for note in made.notes)


def test_one_data_set_has_no_such_table(run, compared, tmp_path):
    for seed in SEEDS:
        run({"norm": "batch"}, seed, 0.9 + seed / 100, history=False)
        run({"norm": "none"}, seed, 0.8 + seed / 90, history=False)
    write(contents(compared()), tmp_path / "report")
    assert not list((tmp_path / "report").glob("data_sets*"))
    assert "Designs by data set" not in (tmp_path / "report" / "index.html").read_text()
