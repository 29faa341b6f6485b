"""The command line as it is described: commands, their help, what completes."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from ablate.__main__ import COMMANDS, main
from ablate.paths import CONF


def said(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """The exit code of `ablate` with `words` on a terminal of 80 columns, and what it prints."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["ablate", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    return stop.value.code or 0, printed.out, printed.err


def test_every_module_of_a_command_is_a_command():
    folder = CONF.parent / "ablate" / "commands"
    texts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    modules = {name for name, text in texts.items() if "def add_arguments(" in text and "\ndef run(" in text}
    assert modules == set(COMMANDS)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command_and_every_axis_with_its_options(monkeypatch, capsys, flag):
    code, out, _ = said(monkeypatch, capsys, flag)
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")][: len(COMMANDS)] == list(COMMANDS)
    for axis in (path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "recipe")):
        (line,) = [line for line in out.splitlines() if line.startswith(f"  {axis} ")]
        assert len(line.split()) > 1
    for option in ("zero_pad", "resnet1202", "reduce_on_plateau", "full_pre_activation"):
        assert f" {option}" in out
    assert "--cfg job" in out and "--config-dir" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_of_its_own(monkeypatch, capsys, command):
    code, out, err = said(monkeypatch, capsys, command, "--help")
    assert code == 0 and err == ""
    assert out.startswith(f"usage: ablate {command}" if command != "train" else "usage: ablate [train]")
    assert "Hydra is" not in out and f"ablate {command} " in out.replace("ablate model=", "ablate train model=")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal(monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = said(monkeypatch, capsys, command, "--help")
    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_the_version_is_this_projects(monkeypatch, capsys):
    assert said(monkeypatch, capsys, "--version") == (0, f"ablate {metadata.version('ablate-resnet')}\n", "")


@pytest.mark.parametrize("command", ["plan", "sweep", "flow", "claims"])
def test_a_missing_argument_is_named_and_no_other(monkeypatch, capsys, command):
    code, _, err = said(monkeypatch, capsys, command)
    assert code == 2
    (line,) = [line for line in err.splitlines() if "required" in line]
    assert "FILE" in line and "OVERRIDE" not in line


def test_train_may_be_typed(monkeypatch, capsys):
    code, out, _ = said(monkeypatch, capsys, "train", "model=resnet56", "--cfg", "job", "--package", "model")
    assert code == 0 and out == said(monkeypatch, capsys, "model=resnet56", "--cfg", "job", "--package", "model")[1]
    assert "stages:" in out


@pytest.mark.parametrize(
    ("line", "holds", "lacks"),
    [
        ("ablate ", ["plan", "sweep", "norm="], []),
        ("ablate sw", ["sweep"], ["plan"]),
        ("ablate norm=gr", ["norm=group"], ["plan", "sweep"]),
        ("ablate train norm=gr", ["norm=group"], ["sweep"]),
    ],
)
def test_the_shell_completes_commands_and_options(line, holds, lacks):
    asked = [sys.executable, "-m", "ablate", "-sc", "query=bash"]
    environment = os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    run = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=120)
    words = run.stdout.split()
    assert run.returncode == 0, run.stderr
    assert set(holds) <= set(words) and not set(lacks) & set(words)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            ["plan", "--fast"],
            "ablate plan --fast: there is no such flag. Flags: --help, --config-dir, --json, --all",
        ),
        (
            ["report", "--metrik=val/acc"],
            "ablate report --metrik: there is no such flag. Did you mean --metric?",
        ),
        (
            ["plan"],
            "ablate plan: the following arguments are required: FILE. `python -m ablate plan --help` says",
        ),
        (
            ["plan", "--model", "resnet20"],
            "ablate plan --model: there is no such flag. Write model=resnet20.",
        ),
        (["report", "--margin", "x"], "ablate report: argument --margin: invalid float value: 'x'."),
    ],
)
def test_flags_that_do_not_exist_are_refused_in_one_message(monkeypatch, capsys, words, wanted):
    code, out, err = said(monkeypatch, capsys, *words)
    assert code == 2 and not out and err.startswith(f"ablate: {wanted}") and "usage:" not in err
