"""The study in results/: what is written of it is what its files say, its statistics are SciPy's and statsmodels'."""

import json
from pathlib import Path

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.report import claims

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
COMPARISONS = sorted(RESULTS.glob("*/comparison.json"))


def test_every_report_of_the_script_is_there():
    script = (RESULTS / "study.sh").read_text()
    assert {path.parent.name for path in COMPARISONS} >= {
        claim["report"] for claim in claims.read(RESULTS / "claims.yaml")
    }
    assert all(path.parent.name in script for path in COMPARISONS)


def test_the_table_of_answers_is_what_the_command_prints(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    claims.show(["results/claims.yaml"])
    readme = (ROOT / "README.md").read_text()
    _, _, rest = readme.partition("<!-- python -m ablate claims results/claims.yaml -->\n")
    assert rest.partition("<!-- end of the table -->")[0] == capsys.readouterr().out


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_what_the_runs_took_is_written_down(path):
    assert json.loads(path.read_text())["made"] in (RESULTS / "README.md").read_text()


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_nothing_is_missing_and_no_path_of_a_machine_is_in_it(path):
    comparison = json.loads(path.read_text())
    assert {run["status"] for variant in comparison["variants"] for run in variant["runs"]} <= {"finished", "diverged"}
    assert "/work/" not in path.read_text() and "/home/" not in path.read_text()


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.parent.name)
def test_differences_are_paired_and_corrected(path):
    """Each variant's mean difference, interval and p, and Holm's correction of all, from the runs' values."""
    variants = json.loads(path.read_text())["variants"]
    values = [{run["seed"]: run["value"] for run in v["runs"] if run["value"] is not None} for v in variants]
    baseline = next(own for v, own in zip(variants, values, strict=True) if v["is_baseline"])
    compared = []
    for variant, own in zip(variants, values, strict=True):
        seeds = sorted(set(own) & set(baseline))
        if variant["is_baseline"] or len(seeds) < 2:
            continue
        test = stats.ttest_rel([own[seed] for seed in seeds], [baseline[seed] for seed in seeds])
        assert variant["difference"]["p"] == pytest.approx(test.pvalue, rel=1e-6)
        assert variant["difference"]["interval"] == pytest.approx(list(test.confidence_interval(0.95)), rel=1e-6)
        compared.append(variant["difference"])
    if compared:
        corrected = multipletests([difference["p"] for difference in compared], method="holm")[1]
        assert [difference["p_holm"] for difference in compared] == pytest.approx(list(corrected), rel=1e-6)
