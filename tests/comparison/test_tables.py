"""Reports of tables that other programs wrote, and of this tool's own."""

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from ablate.__main__ import called
from ablate.comparison.values import again
from ablate.errors import InputError
from ablate.report import tables
from ablate.report.contents import contents

RESULTS = Path(__file__).parents[2] / "results"

OTHER = """\
model,shortcut,seed,test_acc,note
resnet20,zero_pad,0,0.912,
resnet20,zero_pad,1,0.909,
resnet20,zero_pad,2,0.915,rerun after crash
resnet20,projection,0,0.918,
resnet20,projection,1,0.914,
resnet20,projection,3,0.920,
resnet56,zero_pad,0,0.931,
resnet56,zero_pad,1,,diverged
resnet56,projection,0,0.934,
"""
TWICE = OTHER + "resnet56,projection,0,0.933,same cell twice\n"


@pytest.fixture
def table(tmp_path):
    def write(text, name="results.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def rows(comparison):
    return {variant["label"]: variant for variant in comparison["variants"]}


def test_choices_and_seeds_are_guessed_and_said(table, reported):
    made = reported(table(OTHER), "--metric", "test_acc")
    assert made["factors"] == {"model": ["resnet20", "resnet56"], "shortcut": ["zero_pad", "projection"]}
    assert made["baseline"] == {"model": "resnet20", "shortcut": "zero_pad"} and not made["paired"]
    assert made["notes"][0] == (
        "Choices, by column: model, shortcut (--factors names others). Left out: note (another value for every run)."
        " Seeds are in seed."
    )
    lost = rows(made)["model=resnet56"]["runs"]
    assert [(run["status"], run["reason"], run["directory"]) for run in lost] == [
        ("finished", None, "line 8 of results.csv"),
        ("failed", "no test_acc", "line 9 of results.csv"),
    ]
    reference = stats.ttest_ind([0.918, 0.914, 0.920], [0.912, 0.909, 0.915], equal_var=False)
    variant = rows(made)["shortcut=projection"]
    assert variant["test"]["name"] == "Welch's t-test" and variant["difference"]["p"] == pytest.approx(reference.pvalue)
    assert variant["command"] == "" and variant["paired_seeds"] == []


def test_pairs_are_made_where_they_are_asked_for(table, reported):
    made = reported(table(OTHER), "--metric", "test_acc", "--paired")
    assert made["paired"] and rows(made)["shortcut=projection"]["paired_seeds"] == [0, 1]
    with pytest.raises(InputError, match="there is no seed by which"):
        reported(table("a,y\nx,1\nx,2\nz,3\nz,4\n"), "--metric", "y", "--paired", "--goal", "maximize")


def test_several_rows_of_one_cell_are_refused_or_averaged(table, reported):
    name = table(TWICE)
    with pytest.raises(InputError, match="lines 10 and 11: model=resnet56 shortcut=projection seed=0"):
        reported(name, "--metric", "test_acc")
    made = reported(name, "--metric", "test_acc", "--average", "--status", "note")
    assert rows(made)["model=resnet56 shortcut=projection"]["mean"] == pytest.approx(0.9335)
    assert [run["status"] for run in rows(made)["model=resnet56"]["runs"]] == ["finished", "diverged"]


def test_rows_without_seeds_are_repetitions(table, reported):
    made = reported(table("net\tloss\na\t1\na\t1.5\nb\t0.5\nb\t0.25\n", "r.tsv"), "--metric", "loss")
    assert made["goal"] == "minimize" and "There are no seeds" in made["notes"][0]
    assert [variant["n"] for variant in made["variants"]] == [2, 2]
    assert rows(made)["net=b"]["difference"]["p"] == pytest.approx(
        stats.ttest_ind([0.5, 0.25], [1, 1.5], equal_var=False).pvalue
    )


def test_what_may_be_chosen_or_measured_is_asked_for(table, reported):
    name = table(
        "net,width,params,loss\n"
        + "".join(f"{n},{w},{p},{w / 10}\n" for n, w, p in [*[("a", 1, 9)] * 3, ("b", 2, 8), ("b", 3, 8), ("b", 3, 8)])
    )
    with pytest.raises(InputError, match=r"width may be chosen or measured.*--factors net`, and behind it"):
        reported(name, "--metric", "loss")
    assert reported(name, "--metric", "loss", "--factors", "net")["factors"] == {"net": ["a", "b"]}
    with pytest.raises(InputError, match=r"there is no such column. Did you mean net\?"):
        reported(name, "--metric", "loss", "--factors", "nett")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), r"which column is compared\? Add --metric, one of test_acc\."),
        (("--metric", "tets_acc"), r"no such column. Did you mean test_acc\?"),
        (("--metric", "test_acc", "--seed", "sed"), r"--seed sed: .* Did you mean seed\?"),
        (("--metric", "note"), "there is no number in this column"),
        (("--metric", "test_acc", "model=resnet18"), "no run has it. They have resnet20, resnet56"),
    ],
)
def test_what_is_not_there_is_refused(table, reported, words, said):
    with pytest.raises(InputError, match=said):
        reported(table(OTHER), *words)


def test_words_that_readers_take_for_nothing_are_options(table, reported):
    text = "norm,y\n" + "".join(f"{norm},{i}\n" for i, norm in enumerate(("None", "NA", "none") * 2))
    made = reported(table(text), "--metric", "y", "--goal", "maximize")
    assert made["factors"] == {"norm": ["None", "NA", "none"]}


def test_accuracies_in_percent_are_made_fractions_and_said(table, reported):
    text = "net,acc\na,90.5\na,91\nb,92\nb,93.5\n"
    made = reported(table(text), "--metric", "acc")
    assert rows(made)["net=b"]["mean"] == pytest.approx(0.9275) and "divided by 100" in made["notes"][0]


def test_other_formats_say_the_same(table, reported, tmp_path):
    expected = reported(table(OTHER), "--metric", "test_acc")["variants"]
    frame = pd.read_csv(tmp_path / "results.csv")
    frame.to_parquet(tmp_path / "r.parquet")
    frame.to_json(tmp_path / "r.jsonl", orient="records", lines=True, double_precision=15)
    for name in ("r.parquet", "r.jsonl"):
        found = reported(name, "--metric", "test_acc")["variants"]
        assert [v["mean"] for v in found] == [v["mean"] for v in expected], name
        assert [v["difference"] for v in found] == [v["difference"] for v in expected], name


FIGURES = (
    *("label", "assignment", "n", "mean", "interval", "deviation", "difference", "test", "paired_seeds", "low_seeds"),
    *("outperforms", "verdict"),
)


def figures(comparison):
    """Everything that is computed, but for the order of values."""
    effects = {str((effect["factors"], effect["values"])): effect for effect in comparison["effects"]}
    variants = {
        json.dumps(v["assignment"], sort_keys=True): [v[name] for name in FIGURES] for v in comparison["variants"]
    }
    return variants, effects, comparison["variance"], comparison["factors"], comparison["baseline"]


@pytest.mark.parametrize("study", ["shortcuts", "norm", "depth"])
def test_a_table_of_a_studys_numbers_gives_its_comparison(study, table, reported):
    """Of plain accuracies, of runs that never learn, and of a loss."""
    known = json.loads((RESULTS / study / "comparison.json").read_text())
    lines = [[*known["factors"], "seed", "status", "y"]]
    for variant in known["variants"]:
        for run in variant["runs"]:
            value = "" if run["value"] is None else repr(run["value"])
            lines.append([*map(str, variant["assignment"].values()), str(run["seed"]), run["status"], value])
    name = table("".join(",".join(line) + "\n" for line in lines))
    chance = ["--chance", str(known["chance"])] if known.get("chance") else []
    made = reported(name, "--metric", "y", "--goal", known["goal"], "--paired", *chance)
    expected = json.loads(json.dumps(tables.as_json(contents(again(known)))))
    assert figures(made) == figures(expected)


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_a_table_of_runs_is_reported_as_they_are(run, reported, tmp_path, capsys, name):
    for seed in range(3):
        run({"norm": "batch", "optimizer.lr": 0.1}, seed, 0.9 + 0.01 * seed, gradient_flow="even")
        run({"norm": "none", "optimizer.lr": 0.05}, seed, 0.8 + 0.011 * seed**2, cost={"params": 900})
    run({"norm": "none", "optimizer.lr": 0.1}, 0, None, status="diverged", diverged_at=7)
    run({"norm": "none", "optimizer.lr": 0.1}, 1, None, status="failed", error="line\nRuntimeError: 1.0")
    expected = reported("runs")
    called("table", ["-o", name])
    assert capsys.readouterr().out.startswith(f"{name}: 8 runs")
    made = reported(name)
    assert made == expected | {"source": name}
    frame = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
    assert frame.groupby(["choices.norm", "choices.optimizer.lr"])["test/acc"].mean()["batch", 0.1] == pytest.approx(
        0.91
    )
    assert set(frame["cost.params"]) == {1000, 900}
    assert reported(name, "norm=batch")["answer"][0].startswith("There is one variant")


def test_a_table_of_a_sweep_has_the_cells_that_were_run(run, reported, tmp_path):
    (tmp_path / "ours.yaml").write_text("method: grid\nparameters:\n  norm: {values: [batch, none]}\n")
    with pytest.raises(InputError, match="no cell has been run"):
        called("table", ["ours.yaml", "-o", "all.csv"])
    with pytest.raises(InputError, match="ends in"):
        called("table", ["ours.yaml", "-o", "all.xlsx"])
