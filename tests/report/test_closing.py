"""What a run's end says to type next can be typed."""

import shlex
import shutil
from pathlib import Path

import pytest

from ablate.api.runs import Run
from ablate.configuration.composition import CONF, Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.report.terminal import closing, opening
from ablate.runs import cell
from ablate.runs.record import RunRecord
from tests.conftest import SMALL


def test_training_again_knows_the_users_own_options(tmp_path, capsys):
    register_resolvers()
    own = tmp_path / "my options"
    (own / "norm").mkdir(parents=True)
    shutil.copy(CONF / "norm" / "none.yaml", own / "norm" / "mine.yaml")
    folder = f"hydra.searchpath=['file://{own}']"
    runs = f"runs_dir='{tmp_path / 'my runs'}'"
    typed = [*SMALL, runs, "norm=mine", "trainer.max_epochs=1", "rerun=false"]
    chosen = cell.prepare(Composition.of([folder, *typed]))
    record, _ = cell.run(chosen)
    closing.show(record, chosen.directory, trained=False)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("train again"))
    command = shlex.split(line.removeprefix("train again"))
    assert command == ["python", "-m", "ablate", folder, *typed[:-1], "rerun=true"]
    again = cell.prepare(Composition.of(command[3:]))
    assert again.fingerprint == chosen.fingerprint and cell.run(again)[1]


def test_a_run_without_wandb_has_a_next_step_and_paths_are_quoted(tmp_path, capsys):
    known = {
        "name": "defaults",
        "status": "finished",
        "summary": {},
        "cost": {"params": 1, "macs": 1, "seconds": 1.0},
        "gradient_norms": {},
        "overrides": ["norm=none"],
        "search_path": ["--config-dir=/of the user"],
        "wandb": {"url": None, "mode": "disabled"},
    }
    directory = tmp_path / "my runs" / "0123"
    closing.show(RunRecord.of(known), directory, trained=False)
    out = capsys.readouterr().out
    assert f"python -m ablate report '{directory}'" in out
    assert "python -m ablate '--config-dir=/of the user' norm=none rerun=true" in out
    closing.show(RunRecord.of(known | {"wandb": {"url": None, "mode": "offline"}}), directory, trained=True)
    out = capsys.readouterr().out
    assert f"wandb sync '{directory}/wandb'/offline-run-*" in out and f"wandb leet '{directory}/wandb'" in out


def test_accuracies_are_in_percent_as_in_a_report(tmp_path, capsys):
    known = {
        "status": "finished",
        "summary": {"test/acc": 0.9021, "test/acc_top5": 0.5, "val/acc": 0.9, "gradient_flow/first_to_last": 0.5},
        "cost": {"params": 1, "macs": 1, "seconds": 1.0},
        "gradient_flow": "even",
    }
    closing.show(RunRecord.of(known), tmp_path, trained=True)
    out = " ".join(capsys.readouterr().out.split())
    assert "test accuracy 90.21% (top-5 50.00%) validation 90.00%" in out
    assert "gradient flow even 0.5 times as large near the image as near the head even is 0.01 to 100 times" in out


def test_the_gradients_lines_fit_a_terminal_and_say_why_there_is_no_verdict(tmp_path, capsys):
    known = {
        "status": "finished",
        "summary": {"gradient_flow/first_to_last": 0.0123, "gradient_flow/size": 0.00123},
        "cost": {"params": 1, "macs": 1, "seconds": 1.0},
        "gradient_norms": {"stem.conv": 0.123, "head.linear": 0.456},
        "gradient_flow": "vanishing",
    }
    closing.show(RunRecord.of(known), Path("runs/0123456789ab"), trained=True)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines), lines
    closing.show(RunRecord.of(known | {"gradient_flow": None}), tmp_path, trained=True)
    assert "gradient flow  not judged  it takes two layers between the first and the last" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("defaults", "model=resnet20"),
        ("norm=none", "model=resnet20 norm=none"),
        ("model=resnet20 norm=none", "model=resnet20 norm=none"),
        ("experiment=he2015_plain20", "experiment=he2015_plain20"),
    ],
)
def test_the_network_is_named_though_it_is_the_default(tmp_path, capsys, name, title):
    cost = {"params": 1, "macs": 1, "seconds": 1.0}
    record = RunRecord.of({"status": "finished", "name": name, "choices": {"model": "resnet20"}, "cost": cost})
    closing.show(record, tmp_path, trained=True)
    assert capsys.readouterr().out.strip().startswith(f"{title}: finished")
    assert repr(Run(tmp_path, record)).startswith(f"<Run {title}: finished")
    assert RunRecord.of({"status": "finished", "name": name}).title == name, "of a network that is no choice"


def test_metrics_of_your_own_stand_beside_the_accuracy(tmp_path, capsys):
    summary = {"test/acc": 0.5, "test/acc_top5": 0.9, "test/loss": 1.25, "test/worst": 0.125}
    cost = {"params": 1, "macs": 1, "seconds": 1.0}
    closing.show(RunRecord.of({"status": "finished", "summary": summary, "cost": cost}), tmp_path, trained=True)
    said = capsys.readouterr().out
    assert "test/worst     0.125\n" in said and "test accuracy  50.00%" in said and "test/loss" not in said


@pytest.mark.parametrize(
    ("loads", "busy"),
    [
        ("2.10 0.4 0.2 3/250 999", True),
        ("1.90 0.4 0.2 3/250 999", False),  # not for a minute
        ("2.10 0.4 0.2 2/250 999", False),  # no longer: the run before had as many threads
    ],
)
def test_a_lone_run_on_a_busy_machine_says_that_one_thread_may_be_faster(tmp_path, monkeypatch, loads, busy):
    monkeypatch.setattr(opening.os, "cpu_count", lambda: 2)
    (tmp_path / "loadavg").write_text(loads)
    assert opening.is_busy(tmp_path / "loadavg") == busy
    assert not opening.is_busy(tmp_path / "none")
