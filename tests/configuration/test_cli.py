"""The command line as a user meets it: a process of its own, in an empty folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.__main__ import main
from ablate.commands.words import hydra_app
from tests import process
from tests.sweep.sweeping import tables
from tests.wandb_files import offline_run

SMALL = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "trainer.max_epochs=1", "threads=1"]


def ablate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    command = [sys.executable, "-m", "ablate", *arguments]
    return process.run(command, cwd=folder, env={**clean, **environment}, text=True, timeout=300)


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("runs/*/run.json"))]


def test_one_run_leaves_one_directory_and_is_not_trained_twice(tmp_path):
    command = [sys.executable, "-m", "ablate", *SMALL, "shortcut=projection"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    first = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    (run,) = records(tmp_path)
    directory = tmp_path / "runs" / run["fingerprint"]
    names = {
        "run.json",
        "config.yaml",
        "metrics.parquet",
        "gradient_norms.parquet",
        "gradient_flow",
        "checkpoints",
        "wandb",
        ".hydra",
        "run.log",
    }
    assert names <= {path.name for path in directory.iterdir()}
    assert {p.name for p in (directory / ".hydra").iterdir()} == {
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["runs"], "something landed beside the run's directory"
    assert run["status"] == "finished" and run["choices"]["shortcut"] == "projection" and run["seed"] == 0
    assert {"params", "macs", "seconds"} <= set(run["cost"])
    assert {"packages", "git", "hardware", "data_checksum"} <= set(run["provenance"])
    assert f"{100 * run['summary']['test/acc']:.2f}%" in first.stdout
    flow = next(line for line in first.stdout.splitlines() if line.startswith("gradient flow"))
    assert run["gradient_flow"] in flow and f"{run['summary']['gradient_flow/first_to_last']:.2g}" in flow

    before = (directory / "run.json").read_bytes()
    second = ablate(tmp_path, *SMALL, "shortcut=projection")
    assert second.returncode == 0 and "not trained again" in second.stdout
    assert (directory / "run.json").read_bytes() == before

    again = ablate(tmp_path, *SMALL, "shortcut=projection", "rerun=true")
    assert again.returncode == 0 and "epoch 1/1" in again.stdout
    (replaced,) = (tmp_path / "runs" / ".replaced").iterdir()
    assert tables(directory) == tables(replaced), "a process of tests/process.py computes what another does"


def test_every_run_of_a_multirun_is_its_own_finished_wandb_run(tmp_path):
    done = ablate(tmp_path, "-m", *SMALL, "norm=batch,none", "seed=0,1")
    assert done.returncode == 0, done.stderr
    runs = records(tmp_path)
    assert [run["status"] for run in runs] == ["finished"] * 4
    assert len({run["wandb"]["id"] for run in runs}) == 4
    contents = [offline_run(tmp_path / "runs" / run["fingerprint"]) for run in runs]
    assert [content["exit_code"] for content in contents] == [0] * 4
    for content, run in zip(contents, runs, strict=True):
        assert {
            "train/loss",
            "val/acc",
            "test/acc",
            "grad_norm/stem.conv",
            "grad_norm/head.linear",
            "gradient_flow/heat_map.path",
            "gradient_flow/rms_by_step.path",
        } <= content["keys"]
        assert content["configs"] == 1
        numbers = {name: value for name, value in run["summary"].items() if name.startswith("gradient_flow/")}
        assert len(numbers) == 3
        assert content["summary"].items() >= {"gradient_flow/verdict": run["gradient_flow"], **numbers}.items()
        assert {"trainer/global_step", "epoch"} <= content["axes"]
        assert not any(name.startswith(("grad_norm/", "lr", "train/loss_step")) for name in content["summary"])
        assert content["summary"].items() >= {"status": "finished", "fingerprint": run["fingerprint"]}.items()
        assert content["summary"].items() >= run["cost"].items()
        design = "norm=none " if run["choices"]["norm"] == "none" else ""
        assert (
            content["name"].startswith(f"{design}model.stages=[1,1,1] ")
            and content["name"] == f"{content['group']} seed={run['seed']}"
        )
        assert (content["tags"], content["job_type"]) == (["digits"], "train")
    assert len({content["group"] for content in contents}) == 2


WRONG = [
    (["shortcut=projectoin"], ["Did you mean projection?", "zero_pad"]),
    (["optimizer.lr=fast"], ["optimizer.lr=fast", "a number"]),
    (["data=fashion_mnist", "data.root=missing"], ["missing", "dataset-fashion-mnist"]),
    (["shortcut=null"], ["axis", "option"]),
    (["shortcutt=none"], ["Did you mean shortcut?"]),
    (["optimizer.lrr=0.1"], ["Did you mean optimizer.lr?"]),
    (["optimizer.lr=-0.1"], ["optimizer.lr=-0.1", "negative"]),
    (["trainer.max_epochs=many"], ["a whole number"]),
    (["data=image_folder", "data.root=missing"], ["missing", "train/<class>/"]),
    (["data.batch_size=2000"], ["data.batch_size=2000", "1293"]),
    (["model=vgg16"], ["8x8", "data.image_size=32"]),
    (["stem=none", "placement=full_pre_activation"], ["stem=none", "placement"]),
    (["runs_dir=/proc/nowhere"], ["runs_dir"]),
    (["seed=0,1", "runs_dir=/proc/nowhere", "-m"], ["/proc/nowhere", "runs_dir"]),
    (["model.stages=" + "[" * 80 + "]" * 80], ["80 nested brackets"]),
    (["model=[[1]]"], ["model=[1]", "one option per axis"]),
    (["shortcut=[null]"], ["one option per axis"]),
    (["+head@x=[1]"], ["one option per axis"]),
    (["hydra/launcher=[1]"], ["one option per axis"]),
    (["compile=fast"], ["compile=fast", "reduce-overhead"]),
    (["model=resnet20", "model.stages=[3]"], ["model.stages", "model.widths"]),
    (["norm=batch,none"], ["add -m", "python -m ablate -m norm=batch,none", "norm: {values: [batch, none]}"]),
    (["optimizer.lr=0.1,0.2"], ["add -m", "optimizer.lr=[0.1,0.2]"]),
    (["norm=batch", "--cfg", "job", "sed=0"], ["sed: there is no such axis or value. Did you mean seed?"]),
    (["--model", "resnet20"], ["--model: there is no such flag. Write model=resnet20."]),
    (["--optimizer.lr=0.1"], ["--optimizer.lr=0.1: there is no such flag. Write optimizer.lr=0.1."]),
    (["--seed"], ["--seed: there is no such flag. Write seed=VALUE."]),
    (["model=resnet21"], ["Did you mean resnet20?"]),
    (["--cofnig-dir", "mine"], ["--cofnig-dir", "no such flag", "Did you mean --config-dir?"]),
    (["--cfg", "everything"], ["--cfg", "--hydra-help"]),
    (["norm={a:1}"], ["norm: an axis takes the name of an option", "norm.KEY=VALUE"]),
    (
        ["optimizer.momentum=0.9"],
        ["momentum: there is no such axis or value. Another option of optimizer has it. Here"],
    ),
    (["optimizer.lr=${optimizer.lrr}"], ["optimizer.lr: ", "optimizer.lrr is missing"]),
]


def assert_refused(code: int, stderr: str, says: list[str], folder: Path) -> None:
    assert code == 2, stderr
    (line,) = [line for line in stderr.splitlines() if line.strip()]
    assert line.startswith("ablate: ")
    assert all(words in line for words in says), line
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("arguments", "says"), WRONG[:3])
def test_wrong_input_gets_one_message_and_leaves_nothing(tmp_path, arguments, says):
    refused = ablate(tmp_path, "trainer=cpu", *arguments)
    assert_refused(refused.returncode, refused.stderr, says, tmp_path)


@pytest.mark.parametrize(("arguments", "says"), WRONG[3:])
def test_more_wrong_input_in_this_process(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ablate", "trainer=cpu", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as stop:
        main()
    assert_refused(stop.value.code, capsys.readouterr().err, says, tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a=1", "-m", "b=2"], ["-m", "a=1", "b=2"]),
        (["a=1", "--config-dir", "a=1", "b=2", "--cfg", "job"], ["--config-dir", "a=1", "--cfg", "job", "a=1", "b=2"]),
        (["--info=all", "-r", "a=1"], ["--info=all", "-r", "a=1"]),
    ],
)
def test_overrides_may_stand_on_both_sides_of_a_flag(words, expected):
    assert hydra_app.flags_first(words) == expected


@pytest.mark.parametrize("command", ["train", "describe"])
def test_a_wrong_value_is_refused_before_torch_is_imported(tmp_path, command):
    code = (
        f"import sys; from ablate.__main__ import main; sys.argv = ['ablate', {command!r}, 'seed=first']\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"] and "seed=first: a whole number" in done.stderr


def test_an_axis_alone_is_no_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ablate", "norm"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert_refused(stop.value.code, capsys.readouterr().err, ["norm=OPTION"], tmp_path)


def test_an_unknown_command_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ablate", "swep", "ours.yaml"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert_refused(stop.value.code, capsys.readouterr().err, ["swep", "Did you mean sweep?", "describe"], tmp_path)


def test_a_gpu_that_is_not_there_is_refused(tmp_path):
    refused = ablate(tmp_path, "trainer=gpu", CUDA_VISIBLE_DEVICES="")
    assert refused.returncode == 2 and "trainer=cpu" in refused.stderr


def test_a_clash_in_a_multirun_leaves_the_other_cells_alone(tmp_path):
    mixed = ablate(
        tmp_path, "-m", *SMALL, "tracking=disabled", "transition=stride,max_pool", "stem=conv3x3,conv7x7_pool"
    )
    assert mixed.returncode == 2
    assert [run["status"] for run in records(tmp_path)] == ["finished"] * 2
    assert mixed.stderr.count("too small for this depth") == 2


def test_a_failure_is_recorded_and_exits_1(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import pytorch_lightning as pl\n"
        "class Fails(pl.Callback):\n"
        "    def on_train_batch_end(self, *arguments):\n"
        "        raise RuntimeError('after one batch')\n"
    )
    failed = ablate(tmp_path, *SMALL, "tracking=offline", "+trainer.callbacks=[{_target_:mine.Fails}]")
    assert failed.returncode == 1
    (run,) = records(tmp_path)
    assert run["status"] == "failed" and "after one batch" in run["error"]
    assert offline_run(tmp_path / "runs" / run["fingerprint"])["exit_code"] == 1


def test_a_diverged_run_is_done(tmp_path):
    diverged = ablate(tmp_path, *SMALL, "norm=none", "optimizer.lr=1e6")
    assert diverged.returncode == 0, diverged.stderr
    (run,) = records(tmp_path)
    assert run["status"] == "diverged"
    assert f"the loss of optimizer step {run['diverged_at']} is not finite" in diverged.stdout
    assert offline_run(tmp_path / "runs" / run["fingerprint"])["exit_code"] == 0


def test_hydras_own_flags_work(tmp_path):
    shown = ablate(tmp_path, "--cfg", "job", "model=resnet50", "--package", "model")
    assert shown.returncode == 0 and "stages" in shown.stdout
    helped = ablate(tmp_path, "--hydra-help")
    assert helped.returncode == 0 and "--multirun" in helped.stdout
    completed = ablate(tmp_path, "-sc", "query=bash", COMP_LINE="ablate shortcut=proj", COMP_POINT="20")
    assert completed.returncode == 0 and "shortcut=projection" in completed.stdout
    assert list(tmp_path.iterdir()) == []


def test_tracking_can_be_switched_off_and_follows_wandb_mode(tmp_path):
    off = ablate(tmp_path, *SMALL, "tracking=disabled")
    assert off.returncode == 0
    by_environment = ablate(tmp_path, *SMALL, "seed=1", WANDB_MODE="disabled")
    assert by_environment.returncode == 0
    assert [run["wandb"]["id"] for run in records(tmp_path)] == [None, None]
    assert not list(tmp_path.glob("runs/*/wandb"))
