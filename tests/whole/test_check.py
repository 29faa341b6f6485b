"""`ablate check`: a good network keeps every promise, and each bad one breaks its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.configuration.composition import CONF, Composition
from ablate.runs.check import answers
from tests import process

ROOT = CONF.parent
DRAWN = "random numbers are torch's, drawn in training alone (as dropout's are)"
PROMISES = [
    "scores have the right shape in training and evaluation",
    "a batch of one image works",
    "every parameter gets a gradient",
    DRAWN,
    "two designs with one seed see the same batches",
    "same seed twice gives equal numbers",
    "interrupted and resumed gives equal numbers",
]


@pytest.mark.parametrize(
    ("model", "broken"),
    [
        ("perceptron", {}),
        (
            "noisy",
            {DRAWN: "it draws from torch's generator while it is evaluated"},
        ),
        (
            "rolling",
            {
                DRAWN: "it draws from Python's generator while it is trained",
                "same seed twice gives equal numbers": "train/loss_step at step 0 is ",
                "interrupted and resumed gives equal numbers": "train/loss_step at step 0 is ",
            },
        ),
        ("dead", {"every parameter gets a gradient": "none reaches forgotten.weight, forgotten.bias"}),
        (
            "nine",
            {
                "scores have the right shape in training and evaluation": "the shape is (128, 9) for 128 images and 10",
                "same seed twice gives equal numbers": "IndexError: Target 9 is out of bounds.",
                "interrupted and resumed gives equal numbers": "not tried, since the training before it failed",
            },
        ),
    ],
)
def test_a_bad_network_is_told_by_what_it_breaks(model, broken, typed, tmp_path):
    found = list(answers(Composition.of(typed(f"model={model}"))))
    assert [answer.promise for answer in found] == PROMISES
    said = {answer.promise: answer.seen for answer in found if not answer.kept}
    assert said.keys() == broken.keys(), said
    for promise, words in broken.items():
        assert words in said[promise]
    failed = {"same seed twice gives equal numbers", "interrupted and resumed gives equal numbers"}
    told = {answer.promise for answer in found if answer.advice}
    assert told == said.keys() - (failed if model == "nine" else set()), "a training that failed tells nothing more"
    assert not (tmp_path / "runs").exists()


def test_this_projects_own_networks_keep_them(typed):
    """With dropout, which draws in training."""
    small = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "shortcut=dropout", "+trainer.val_check_interval=2"]
    assert [answer.seen for answer in answers(Composition.of(typed(*small)))] == [""] * len(PROMISES)


def test_on_the_command_line(their_conf, tmp_path):
    def check(model: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ablate", "check", "--config-dir", str(their_conf), f"model={model}"]
        environment = os.environ | {"COLUMNS": "80"}
        return process.run([*command, "trainer=cpu", "threads=1"], tmp_path, environment, text=True, timeout=300)

    good, bad = check("perceptron"), check("dead")
    assert (good.returncode, bad.returncode) == (0, 1), good.stderr + bad.stderr
    *lines, last = good.stdout.splitlines()
    assert [line[:3] for line in lines] == ["yes"] * len(PROMISES) and "paired by seed" in last
    said = " ".join(bad.stdout.split())
    assert "no every parameter gets a gradient: none reaches forgotten.weight, forgotten.bias They never" in said
    assert said.endswith("1 of 7 not kept: put that right before runs are compared.")
    assert max(map(len, bad.stdout.splitlines())) <= 80
    assert list(Path(tmp_path).iterdir()) == []
