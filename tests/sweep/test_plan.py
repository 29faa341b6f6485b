"""A sweep file's cells, and what a plan says of them."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from torchvision import datasets

from ablate.comparison import results
from ablate.configuration.composition import Composition
from ablate.configuration.fingerprint import fingerprint
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.process import processors
from ablate.report.terminal import plan_table
from ablate.runs import cell as single
from ablate.runs import checks, record
from ablate.runs.record import RunRecord
from ablate.sweep import timing, twins
from ablate.sweep.engines.pool_worker import Outcome
from ablate.sweep.estimate import estimate
from ablate.sweep.execution import Request, to_run
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import FAILED, INVALID, OUTDATED, TO_DO, PlannedCell, plan
from ablate.sweep.timing import steps
from ablate.training import settings

register_resolvers()

FIXED = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "threads=1"]


def sweep_file(folder: Path, parameters: dict[str, Any], **keys: Any) -> SweepFile:
    path = folder / "ours.yaml"
    path.write_text(yaml.safe_dump({"method": "grid", **keys, "parameters": parameters}, sort_keys=False))
    return SweepFile.read(path)


def planned(folder: Path, parameters: dict[str, Any], *typed: str, **keys: Any) -> list[PlannedCell]:
    return plan(sweep_file(folder, parameters, **keys), [*FIXED, f"runs_dir={folder}/runs", *typed])


def test_a_cell_has_the_fingerprint_of_the_run_that_its_overrides_make(tmp_path):
    cells = planned(
        tmp_path,
        {
            "shortcut": {"values": ["zero_pad", "projection"]},
            "optimizer": {"parameters": {"lr": {"values": ["1e-2", 1]}, "weight_decay": {"value": 0.0}}},
            "seed": {"values": [0, 3]},
            "+trainer.limit_val_batches": {"values": [1, 1.0]},
        },
    )
    assert len(cells) == 16 and len({cell.fingerprint for cell in cells}) == 16
    for cell in cells[::5]:
        alone = single.prepare(Composition.of(cell.overrides))
        assert (alone.fingerprint, alone.cost.params, alone.cost.macs) == (cell.fingerprint, cell.params, cell.macs)


def test_a_key_that_came_later_leaves_the_fingerprint_unless_it_is_used(compose_cfg):
    values, same = (OmegaConf.to_container(compose_cfg(*typed), resolve=True) for typed in ((), ("padding=same",)))
    older = {key: value for key, value in values.items() if key != "padding"}
    assert fingerprint(values) == fingerprint(older) != fingerprint(same)


def test_cells_that_come_out_identical_are_one(tmp_path):
    (cell,) = planned(tmp_path, {"optimizer.lr": {"values": [1, 1.0]}, "tracking.group": {"values": ["a", "b"]}})
    assert [other["tracking.group"] for other in cell.same] == ["b", "a", "b"]


def test_a_typed_override_takes_a_parameters_place(tmp_path):
    parameters = {"+trainer.limit_val_batches": {"values": [1, 2]}, "seed": {"values": [0, 1]}}
    cells = planned(tmp_path, parameters, "+trainer.limit_val_batches=3", "seed=7")
    assert [cell.values["seed"] for cell in cells] == [7]
    assert cells[0].values["trainer"]["limit_val_batches"] == 3


def test_an_override_may_need_an_option_of_the_file(tmp_path):
    file = sweep_file(tmp_path, {"optimizer": {"value": "adamw"}, "seed": {"values": [0, 1]}})
    request = Request.of([*FIXED, "optimizer.betas=[0.8,0.9]", "hydra.launcher.workers=1"])
    assert request.in_pool and not request.elsewhere
    assert [cell.values["optimizer"]["betas"] for cell in plan(file, request.typed)] == [[0.8, 0.9]] * 2


def test_what_clashes_is_invalid_and_says_why(tmp_path):
    cells = planned(
        tmp_path,
        {
            "shortcut": {"values": ["zero_pad", "dropout"]},
            "shortcut.join.p": {"values": [0.2]},  # only dropout has it
            "stem": {"values": ["conv3x3", "none"]},
            "placement": {"values": ["original", "full_pre_activation"]},
            "optimizer": {"value": "sgd"},
            "optimizer.momentum": {"values": [0.9, -1.0]},
        },
    )
    assert len(cells) == 16
    reasons = {cell.name: cell.reason for cell in cells if cell.status == INVALID}
    assert len(reasons) == 8 + 8 - 3
    assert all("shortcut.join.p" in reasons[name] for name in reasons if "zero_pad" in name)
    assert "stem=none" in next(r for n, r in reasons.items() if "dropout" in n and "stem=none" in n and "0.9" in n)


@pytest.mark.parametrize(
    ("parameters", "error", "says"),
    [
        ({"shortcut": {"values": ["zero_pad", "projectoin"]}}, HydraException, "projectoin"),
        ({"optimizer.lrr": {"values": [1, 2]}}, HydraException, r"optimizer\.lrr"),
        ({"seed": 3}, InputError, "value: 3"),
        ({"seed": {"values": []}}, InputError, "at least one"),
        ({"seed": {"min": 0, "max": 1}}, InputError, "random"),
        ({"seed": {"probabilities": [1.0]}}, InputError, "seed"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_is_refused(tmp_path, parameters, error, says):
    with pytest.raises(error, match=says):
        planned(tmp_path, parameters)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"method": "bayes"}, "wandb agent"),
        ({"early_terminate": {"type": "hyperband"}}, "hyperband"),
        ({"method": "random"}, "run_cap"),
        ({"metrics": {}}, "Did you mean metric"),
        ({"metric": "val/acc"}, "name: val/acc"),
        ({"run_cap": 0}, "run_cap"),
    ],
)
def test_what_only_a_server_can_do_and_unknown_keys_are_refused(tmp_path, keys, says):
    with pytest.raises(InputError, match=says):
        sweep_file(tmp_path, {"seed": {"values": [0, 1]}}, **keys)


def test_random_cells_stay_the_same_as_their_number_grows(tmp_path):
    parameters = {
        "optimizer.lr": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1},
        "data.batch_size": {"distribution": "q_uniform", "min": 16, "max": 64, "q": 16},
        "seed": {"min": 0, "max": 9},
        "shortcut": {"values": ["zero_pad", "none"]},
    }
    few, many = (sweep_file(tmp_path, parameters, method="random", run_cap=n).cells() for n in (5, 200))
    assert many[:5] == few
    rates = [cell["optimizer.lr"] for cell in many]
    assert 0.001 <= min(rates) < 0.002 and 0.05 < max(rates) <= 0.1
    assert sum(rate < 0.01 for rate in rates) == pytest.approx(100, abs=30)  # half of the logarithms
    assert {cell["data.batch_size"] for cell in many} == {16, 32, 48, 64}
    assert {cell["seed"] for cell in many} == set(range(10))
    assert {cell["shortcut"] for cell in many} == {"zero_pad", "none"}


def test_a_capped_grid_is_not_built_whole(tmp_path):
    axes = {f"tracking.k{n}": {"values": list(range(10))} for n in range(30)}
    assert len(sweep_file(tmp_path, axes, run_cap=3).cells()) == 3


def test_data_with_too_few_batches_are_found_by_the_plan_that_reads_them(tmp_path):
    file = sweep_file(tmp_path, {"+trainer.val_check_interval": {"values": [10, 50]}, "seed": {"values": [0, 1]}})
    typed = [*FIXED, "data.batch_size=64", f"runs_dir={tmp_path}/runs"]  # 1293 images: 20 batches
    cells = plan(file, typed, check_data=True)
    assert [cell.status for cell in cells] == [TO_DO, TO_DO, INVALID, INVALID]
    assert "an epoch has only 20 batches" in str(cells[2].reason)
    best = [*typed, "result=best", "+trainer.max_steps=5"]
    assert {cell.status for cell in plan(file, best, check_data=True)} == {INVALID}


def test_a_run_whose_record_is_lost_is_interrupted_as_doctor_has_it(tmp_path):
    (cell,) = planned(tmp_path, {"seed": {"values": [0]}})
    (cell.directory / "checkpoints").mkdir(parents=True)
    (cell.directory / "checkpoints" / "step-000000010.ckpt").write_bytes(b"not looked into")
    (cell.directory / "run.json").write_text('{"status": "fini')
    (again,) = planned(tmp_path, {"seed": {"values": [0]}})
    assert (again.status, again.reason) == ("interrupted", "run.json is damaged or missing, but there are checkpoints")
    assert to_run([again], retry_failed=False) == [again]


def test_a_death_goes_on_record_and_is_not_tried_again_unasked(tmp_path):
    dead, other = planned(tmp_path, {"seed": {"values": [0, 1]}})
    outcome = Outcome("failed", "the worker process ended by SIGKILL")
    dead.heard(outcome.status, outcome.reason)
    assert (dead.status, dead.reason) == (FAILED, outcome.reason)
    again = planned(tmp_path, {"seed": {"values": [0, 1]}})
    assert [cell.status for cell in again] == [FAILED, TO_DO]
    assert [to_run(again, retry) for retry in (False, True)] == [[again[1]], [again[0]]]
    assert record.read(other.directory) is None
    (result,) = results.find([dead.directory])  # a report can read it
    assert result.record.status == "failed" and result.record.choices["model"] == "resnet20"


def test_estimates_come_from_results_and_follow_the_work(tmp_path):
    cells = planned(tmp_path, {"trainer.max_epochs": {"values": [2, 4]}, "seed": {"values": [0, 1]}})
    done = cells[0]
    done.directory.mkdir(parents=True)
    record.write(done.directory, RunRecord(status="finished", cost={"seconds": 10.0}))
    done.look()
    estimate(cells)
    assert [cell.seconds for cell in cells] == [10.0, 10.0, 20.0, 20.0]


def test_estimates_come_from_the_cells_that_finished_last(tmp_path, capsys):
    """A machine that has become busy, or idle again, is as it is now."""
    parameters = {"seed": {"values": list(range(30))}}
    cells = planned(tmp_path, parameters)
    for number, done in enumerate(cells[:29]):
        done.directory.mkdir(parents=True)
        seconds, ended = (40.0 if number < 9 else 10.0), f"2026-01-01T00:{59 - number:02d}:00+00:00"
        record.write(done.directory, RunRecord(status="finished", cost={"seconds": seconds}, ended=ended))
        done.look()
    estimate(cells)
    assert cells[-1].seconds == 40.0
    plan_table.show(sweep_file(tmp_path, parameters), cells, as_json=False, every=False)
    assert "The estimate is from the cells that finished last." in capsys.readouterr().out


def test_an_estimate_by_steps_is_called_one_and_is_of_the_usual_step(tmp_path, monkeypatch, capsys):
    parameters = {"seed": {"value": 0}}
    (cell,) = planned(tmp_path, parameters)
    steps_taken = iter([9.0, 0.1, 0.5, 0.5, 0.5, 0.1])  # the first warms up; the fastest was a moment without others
    now = 0.0

    def step() -> None:
        nonlocal now
        now += next(steps_taken)

    images = SimpleNamespace(train_size=1280, val_size=0)
    monkeypatch.setattr(timing, "training", lambda values: timing.Training(step, images))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    estimate([cell])
    batches = 1280 // cell.values["data"]["batch_size"]
    assert cell.seconds == pytest.approx(0.5 * batches * cell.values["trainer"]["max_epochs"])
    plan_table.show(sweep_file(tmp_path, parameters), [cell], as_json=False, every=False)
    assert "from a few steps timed just now" in capsys.readouterr().out


def test_an_estimate_downloads_nothing(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "FashionMNIST", lambda *args, **kwargs: asked.append(args))
    (cell,) = planned(tmp_path, {"seed": {"value": 0}}, "data=fashion_mnist", f"data.root={tmp_path}")
    estimate([cell])
    assert (cell.status, cell.seconds, asked) == (TO_DO, None, [])


def test_estimates_come_from_results_of_as_many_batches(tmp_path):
    parameters = {"+trainer.limit_train_batches": {"values": [2, 5]}, "trainer.max_epochs": {"values": [1, 3]}}
    cells = planned(tmp_path, parameters)
    done = cells[0]
    done.directory.mkdir(parents=True)
    record.write(done.directory, RunRecord(status="finished", cost={"seconds": 10.0}))
    done.look()
    estimate(cells, measure=False)
    assert [cell.seconds for cell in cells] == [10.0, 30.0, None, None]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 2 * (10 + 120 / 128 / 3)),  # 1,337 training images, 120 for validation, in batches of 128
        ({"limit_train_batches": 4, "limit_val_batches": 0}, 2 * 4),
        ({"limit_train_batches": 400, "limit_val_batches": 1.0}, 2 * (10 + 120 / 128 / 3)),
        ({"limit_train_batches": 1.0, "limit_val_batches": 0.0}, 2 * 10),
        ({"limit_train_batches": 0.25, "limit_val_batches": 1}, 2 * (2 + 40 / 128 / 3)),
    ],
)
def test_a_timed_cell_has_the_batches_that_its_trainer_takes(limits, expected):
    values = {"trainer": {"max_epochs": 2, **limits}, "data": {"batch_size": 128, "eval_batch_size": 50}}
    assert steps(values, train_size=1_337, val_size=120) == pytest.approx(expected)


def test_a_plan_as_json(tmp_path, capsys):
    parameters = {"norm": {"values": ["batch", "none"]}, "compile": {"value": None}}
    file = sweep_file(tmp_path, parameters)
    cells = planned(tmp_path, parameters)
    plan_table.show(file, cells, as_json=True, every=False)
    shown = json.loads(capsys.readouterr().out)
    assert shown["counts"] == {"to do": 2}
    assert [cell["assignment"] for cell in shown["cells"]] == [cell.assignment for cell in cells]
    assert [cell["params"] for cell in shown["cells"]] == [cell.params for cell in cells]
    plan_table.show(file, cells, as_json=False, every=False)
    out = capsys.readouterr().out
    assert "2 cells: 2 to do" in out and "The cells differ in parameters" in out


@pytest.mark.parametrize(
    ("parameters", "counted"),
    [
        ({"norm": ["batch", "none"], "shortcut": ["zero_pad", "none"]}, 6),  # 3 variants, 2 effects, 1 of both
        ({"norm": ["batch", "none"], "shortcut": ["zero_pad", "none"], "placement": ["original", "act_only_pre"]}, 13),
        ({"norm": ["batch", "none"], "activation": ["relu", "gelu", "silu", "leaky_relu"]}, 7 + 1 + 3 + 3),
    ],
)
def test_crossed_choices_count_their_effects_as_the_report_does(tmp_path, parameters, counted):
    cells = planned(tmp_path, {k: {"values": v} for k, v in parameters.items()} | {"seed": {"values": [0, 1, 2]}})
    line = plan_table.seeds_line(cells)
    assert line and f" with {counted} tests counted)" in line


@pytest.mark.parametrize(
    ("norms", "seeds", "says"),
    [
        (
            ["batch", "none"],
            1,
            "One seed for each variant: no test can tell a difference from chance. Use more, such as 4",
        ),
        (["batch", "none"], 3, "3 seeds for each variant: .* at least 0.1\\). With 4 seeds for each it can."),
        (["batch", "none"], 4, None),
        (["batch", "none", "group"], 4, ".* at least 0.057 with 2 tests counted\\). With 5 seeds for each it can."),
        (["batch"], 3, None),
    ],
)
def test_too_few_seeds_to_be_certain_are_said_before_anything_is_trained(tmp_path, capsys, norms, seeds, says):
    parameters = {"norm": {"values": norms}, "seed": {"values": [*range(seeds)]}}
    cells = planned(tmp_path, parameters)
    line = plan_table.seeds_line(cells)
    assert (line is None) if says is None else re.match(says, line)
    plan_table.show(sweep_file(tmp_path, parameters), cells, as_json=False, every=False)
    assert (" ".join((line or "for each variant").split()) in " ".join(capsys.readouterr().out.split())) == bool(says)
    for cell in cells:
        cell.status = "finished"
    assert plan_table.seeds_line(cells) is None


def test_the_time_left_names_what_cells_take_besides_their_training(tmp_path, capsys):
    parameters = {"norm": {"values": ["batch", "none", "group"]}}
    file, cells = sweep_file(tmp_path, parameters), planned(tmp_path, parameters)
    for cell in cells:
        cell.seconds = 10.0
    plan_table.show(file, cells, as_json=False, every=False)
    assert "about 30 s, one after the other; each cell takes some seconds more" in capsys.readouterr().out
    times = {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:17+00:00", "status": "finished"}
    cells[0].record, cells[0].status = RunRecord.of({**times, "cost": {"seconds": 10.0}}), "finished"
    plan_table.show(file, cells, as_json=False, every=False)
    assert "about 20 s, one after the other; each cell takes about 7 s more" in capsys.readouterr().out


def test_a_sweep_that_does_not_say_threads_has_one_in_each_cell_whatever_the_machine(tmp_path, monkeypatch, capsys):
    silent = [text for text in FIXED if text != "threads=1"] + [f"runs_dir={tmp_path}/runs"]

    def found(cores: int, *typed: str, seeds: int = 2, **parameters: Any) -> list[PlannedCell]:
        monkeypatch.setattr(processors, "usable", lambda: cores)
        file = sweep_file(tmp_path, {"seed": {"values": list(range(seeds))}, **parameters})
        return plan(file, [*silent, *typed])

    cells = found(8)
    assert [cell.values["threads"] for cell in cells] == [1, 1]
    names = [cell.fingerprint for cell in cells]
    assert [cell.fingerprint for cell in found(2, seeds=5)][:2] == names
    assert [cell.fingerprint for cell in found(8, "threads=1")] == names
    assert single.prepare(Composition.of(cells[0].overrides)).fingerprint == names[0]
    plan_table.show(sweep_file(tmp_path, {"seed": {"value": 0}}), cells, as_json=False, every=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("threads=1")]
    assert "threads=8 here" in line and "2 cells would leave cores idle: threads=4" in line

    # What is said is done: auto is what a run on its own has.
    for said in (found(8, "threads=auto"), found(8, threads={"value": "auto"})):
        assert [cell.values["threads"] for cell in said] == [8, 8]
        assert plan_table.threads_line(said) is None
    alone = single.prepare(Composition.of([*silent, "seed=0"]))
    assert alone.fingerprint == said[0].fingerprint != names[0]

    # A result of such a run is pointed out, until it counts.
    assert twins.line(found(8)) is None
    said[0].directory.mkdir(parents=True)
    record.write(said[0].directory, RunRecord(status="finished", fingerprint=said[0].fingerprint))
    wanted = "1 stored run differs from cells of this sweep in `threads` alone, so by rounding (8 there): threads=8"
    assert twins.line(found(8)).startswith(wanted)
    plan_table.show(sweep_file(tmp_path, {"seed": {"value": 0}}), found(8), as_json=False, every=False)
    assert wanted in capsys.readouterr().out
    assert twins.line(found(8, "threads=8")) is None

    # Under an agent the same file's cells are the same runs.
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    by_agent = single.prepare(Composition.of([*silent, "seed=0"]))
    assert by_agent.fingerprint == names[0] and by_agent.composition.overrides[-1] == "threads=1"
    assert single.prepare(Composition.of([*silent, "threads=auto"])).cfg.threads == 8


def test_threads_on_a_gpu_are_nobodys_business(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "_gpus", lambda: 1)
    monkeypatch.setattr(checks, "check_trainer", lambda cfg: None)  # Lightning finds no GPU
    (cell,) = plan(sweep_file(tmp_path, {"seed": {"value": 0}}), ["trainer=gpu", f"runs_dir={tmp_path}/runs"])
    assert cell.values["threads"] is None and not cell.one_thread
    assert "threads=1" not in cell.overrides
    # A stored run that had threads is none of its twins: there are none.
    other = cell.directory.with_name(fingerprint(cell.values | {"threads": 1}))
    other.mkdir(parents=True)
    record.write(other, RunRecord(status="finished", fingerprint=other.name))
    assert twins.line([cell]) is None


def test_a_retraining_that_failed_does_not_pass_for_the_old_result(tmp_path):
    (cell,) = planned(tmp_path, {"seed": {"values": [0]}})
    cell.directory.mkdir(parents=True)
    record.write(cell.directory, RunRecord(status="finished", cost={"seconds": 10.0}, ended="then"))
    cell.look()
    cell.heard("failed", "no such data")
    assert (cell.status, cell.reason) == (FAILED, "no such data")
    cell.status, cell.reason = OUTDATED, "mine.py changed"
    cell.look()
    assert (cell.status, cell.reason) == (OUTDATED, "mine.py changed"), "nobody has trained it since"
    record.write(cell.directory, RunRecord(status="finished", cost={"seconds": 10.0}, ended="now"))
    cell.look()
    assert (cell.status, cell.reason) == ("finished", None)
