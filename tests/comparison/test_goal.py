"""One rule says which way is up, wherever a metric is compared."""

import json
from pathlib import Path

import pytest

from ablate.__main__ import called
from ablate.configuration.composition import Composition
from ablate.configuration.refusals.guard import guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.report import claims
from ablate.report.terminal.sweep_view import show_result
from ablate.runs import cell
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from ablate.training import goal

TYPED = ("trainer=cpu", "tracking=disabled", "model.stages=[1,1,1]", "model.widths=[4,8,8]")


def sweep_file(metric: object, values: tuple[float, ...] = (0.1, 0.2), seeds: int = 4) -> SweepFile:
    parameters = {"optimizer.lr": {"values": list(values)}, "seed": {"values": list(range(seeds))}}
    content = {"method": "grid", "parameters": parameters}
    Path("file.yaml").write_text(json.dumps(content if metric is None else content | {"metric": metric}))
    return SweepFile.read(Path("file.yaml"))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    register_resolvers()
    monkeypatch.chdir(tmp_path)


def test_the_table_has_every_metric_of_a_run(prepared):
    known, _ = cell.run(prepared("trainer.max_epochs=2", "data.batch_size=64"))
    names = {*known.summary, *(f"cost/{name}" for name in ("params", "macs", "seconds"))}
    assert names == set(goal.KNOWN)


@pytest.mark.parametrize(
    ("metric", "given", "expected"),
    [
        ("val/acc", None, "maximize"),
        ("test/acc_top5", None, "maximize"),
        ("train/loss_step", None, "minimize"),
        ("val/loss", None, "minimize"),
        ("cost/seconds", None, "minimize"),
        ("val/acc", "minimize", "minimize"),
        ("lr", "maximize", "maximize"),
        ("val/my_loss", "minimize", "minimize"),
        ("test/f1", None, "maximize"),
        ("val/mae", None, "minimize"),
    ],
)
def test_the_goal_is_the_given_one_or_that_of_the_table(metric, given, expected):
    assert goal.goal_of(metric, given) == expected


@pytest.mark.parametrize("metric", ["lr", "gradient_flow/first_to_last", "val/my_loss"])
def test_what_the_table_has_no_goal_for_is_asked(metric):
    with pytest.raises(InputError, match=rf"^{metric}: is more of it better.*--goal maximize or --goal minimize"):
        goal.goal_of(metric)


@pytest.mark.parametrize("word", ["maximise", "max", "Maximize", "", 1])
def test_a_misspelt_goal_is_refused_with_the_file(word):
    with pytest.raises(InputError, match=rf"^file\.yaml: metric: The goal of val/acc is {word}: write maximize or min"):
        sweep_file({"name": "val/acc", "goal": word})


def test_a_metric_that_nobody_knows_needs_a_goal_and_is_remarked_on(capsys):
    with pytest.raises(InputError, match=r"^file\.yaml: metric: val_acc: is more.*Did you mean val/acc\?.*goal: max"):
        sweep_file({"name": "val_acc"})
    sweep_file({"name": "val_acc", "goal": "maximize"}, seeds=1)
    assert guarded(called, "plan", ["file.yaml", *TYPED]) == 0
    assert "metric val_acc: no run has it, unless a callback of yours logs it. Did you mean val/acc?" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ({"name": "val/acc"}, "metric val/acc: more is better, but without a goal W&B's server minimises"),
        ({"name": "val/loss"}, None),
        ({"name": "val/acc", "goal": "maximize"}, None),
        (None, None),
        ({"name": "val/acc_top5", "goal": "maximize"}, "metric val/acc_top5: no run has it, as there are no more"),
    ],
)
def test_a_plan_says_what_a_server_would_make_of_the_metric(capsys, metric, says):
    sweep_file(metric, seeds=1)
    classes = ["data=cifar10", "data.num_classes=5"] if metric and "top5" in metric["name"] else []
    called("plan", ["file.yaml", *TYPED, *classes])
    assert [line.startswith(says) for line in capsys.readouterr().out.splitlines() if line.startswith("metric")] == (
        [True] if says else []
    )


# The larger rate has more of everything.
@pytest.mark.parametrize(
    ("metric", "given", "verdict"),
    [
        ("val/acc", None, "better"),
        ("val/acc", "minimize", "worse"),
        ("train/loss_step", None, "worse"),
        ("lr", "maximize", "better"),
        ("val/mine", "minimize", "worse"),
    ],
)
def test_sweep_report_and_claims_agree_on_which_way_is_up(simulate, tmp_path, capsys, metric, given, verdict):
    file = sweep_file({"name": metric} | ({"goal": given} if given else {}))
    typed = [*TYPED, "runs_dir=runs", "threads=1"]
    for planned in plan(file, typed):
        level = {0.1: 1.0, 0.2: 2.0}[planned.assignment["optimizer.lr"]] + 0.01 * planned.assignment["seed"] ** 1.5
        directory = simulate(
            *(tmp_path / "runs", {"optimizer.lr": planned.assignment["optimizer.lr"]}, planned.assignment["seed"], 0.5),
            directory=planned.directory,
            history=False,
            summary={metric: level * (1 + 0.001 * planned.assignment["seed"])},
        )
        composition = Composition.of(planned.overrides)
        (directory / "config.yaml").write_text(json.dumps(composition.values()))
    cells = plan(file, typed)
    assert {planned.status for planned in cells} == {"finished"}
    show_result(file, cells, [])
    rates = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:3] in ("0.1", "0.2")]
    assert rates[0] == ("0.2" if verdict == "better" else "0.1") and rates == sorted(rates, reverse=rates[0] == "0.2")

    called("report", ["file.yaml", *typed, "--metric", metric, "--out", "rep"])
    known = json.loads(Path("rep/comparison.json").read_text())
    assert known["goal"] == file.goal and f" {verdict} " in Path("rep/table.md").read_text()
    claim = {"claim": "c", "source": "s", "number": "n", "report": "rep", "variant": "optimizer.lr=0.2"}
    assert claims.answer(claim | {"expected": verdict}, Path()).verdict == claims.AGREES

    runs = ["runs", "--metric", metric, "--baseline", "optimizer.lr=0.1", "--out", "rep", "--json"]
    if given:
        called("report", [*runs, "--goal", given])
    assert guarded(called, "report", runs) == (2 if metric not in goal.KNOWN or metric == "lr" else 0)


def test_an_old_reports_misspelt_goal_is_refused_where_a_claim_is_held_against_it():
    Path("rep").mkdir()
    runs = [{"seed": 0, "status": "finished", "value": 0.5}]
    variants = [{"label": "baseline", "assignment": {"norm": "batch"}, "is_baseline": True, "runs": runs}]
    known = {
        "metric": "val/acc",
        "goal": "maximise",
        "source": "",
        "factors": {"norm": ["batch"]},
        "variants": variants,
    }
    Path("rep/comparison.json").write_text(json.dumps(known))
    claim = {"claim": "c", "source": "s", "number": "n", "report": "rep", "variant": "baseline", "expected": "worse"}
    with pytest.raises(InputError, match="The goal of val/acc is maximise"):
        claims.answer(claim, Path())
