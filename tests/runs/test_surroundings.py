"""Streams that are closed or full, a terminal that goes, a folder that is gone: the run goes on, or says why not."""

import errno
import json
import logging
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.paths import relative
from ablate.runs import cell

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")} | {"PYTHONPATH": str(ROOT)}
TRAIN = [
    *("model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "threads=1", "tracking=disabled"),
    "gradient_norms.pictures=false",
]
ABLATE = [sys.executable, "-m", "ablate"]


def status(folder: Path) -> list[str]:
    return [json.loads(path.read_text())["status"] for path in folder.glob("runs/*/run.json")]


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "<&-", "2>&-"])
def test_a_closed_stream_is_not_the_next_file(tmp_path, closed):
    program = "import os, sys; from ablate.process import streams; streams.hold(); file = open('file', 'w')\n"
    program += "print('lost'); print('lost', file=sys.stderr); os.write(1, b'lost'); os.write(2, b'lost')\n"
    program += "sys.stdout.flush(); file.write('kept'); file.close(); assert sys.stdin.read() == ''\n"
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, program]
    run = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_without_standard_output_a_run_is_trained(tmp_path):
    command = ["sh", "-c", '"$0" "$@" >&-', *ABLATE, *TRAIN, "trainer.max_epochs=1"]
    run = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stderr
    assert status(tmp_path) == ["finished"]


@pytest.mark.parametrize("gone", ["a closed pipe", "a full disk"])
def test_output_that_nobody_takes_ends_nothing(tmp_path, gone):
    program = "from ablate.process import streams; streams.hold()\n"
    program += "for n in range(9999): print('a line', flush=True)\nopen('done', 'w')"
    full = Path("/dev/full").open("w")  # noqa: SIM115
    end = subprocess.PIPE if gone == "a closed pipe" else full
    command = [sys.executable, "-c", program]
    with full, subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=end, stderr=subprocess.PIPE) as run:
        if run.stdout:
            run.stdout.read(10)
            run.stdout.close()
        assert run.stderr is not None and run.stderr.read() == b""
    assert run.returncode == 0 and (tmp_path / "done").exists()


def test_names_that_an_output_cannot_spell(tmp_path):
    program = "from ablate.process import streams; streams.hold(); print('… é')"
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert (run.returncode, run.stdout) == (0, rb"\u2026 \xe9" + b"\n"), run.stderr


def test_a_full_disk_takes_no_log_and_ends_no_run(prepared, capsys, monkeypatch):
    small = prepared("trainer.max_epochs=1")
    small.directory.mkdir(parents=True)
    (small.directory / "run.log").symlink_to("/dev/full")
    from ablate.training import run

    train = run._train

    def wordy(*arguments):  # type: ignore[no-untyped-def]
        for number in range(3):
            logging.getLogger("ablate").warning("line %d", number)
        return train(*arguments)

    monkeypatch.setattr(run, "_train", wordy)
    ended, _ = cell.run(small)
    assert ended.status == "finished"
    said = [line for line in capsys.readouterr().err.splitlines() if "run.log" in line]
    assert len(said) == 1 and os.strerror(errno.ENOSPC) in said[0]


def test_a_removed_folder_is_named(tmp_path):
    (tmp_path / "gone").mkdir()
    command = ["sh", "-c", 'rmdir "$PWD"; "$0" "$@"', *ABLATE, *TRAIN]
    run = subprocess.run(command, cwd=tmp_path / "gone", env=ENVIRONMENT, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "ablate: The current folder has been removed: change to another."
    assert "Traceback" not in run.stderr


def test_a_folder_that_is_removed_meanwhile_hides_no_result(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    assert relative(tmp_path / "runs") == tmp_path / "runs"


def test_a_run_is_saved_when_its_terminal_is_closed(tmp_path):
    """8 s: a training with a progress bar on a terminal of its own, whose other end is closed."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which these tests may have been told to ignore, by nohup
        os.execve(ABLATE[0], [*ABLATE, *TRAIN, "trainer.max_epochs=5000"], ENVIRONMENT)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoints/step-*.ckpt")) and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            os.read(master, 65536)
    os.close(master)
    gone, code = 0, 0
    while not gone and time.monotonic() < end:
        gone, code = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.1)
    if not gone:
        os.kill(pid, signal.SIGKILL)
        _, code = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(code) == 128 + signal.SIGHUP
    assert status(tmp_path) == ["interrupted"]


def test_a_terminal_shows_a_notice_until_the_first_text(tmp_path):
    """And where the output is piped, or only one stream is a terminal, there is none."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [*ABLATE, "--version"], cwd=tmp_path, env=ENVIRONMENT | {"TERM": "xterm"}, stdout=theirs, stderr=theirs
    )
    shown, _, rest = os.read(ours, 10_000).decode().partition("\r\x1b[K")
    assert shown == "starting …" and rest.startswith("ablate ") and rest.count("\n") == 1
    piped = subprocess.run(
        [*ABLATE, "--version"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    assert piped.stdout == rest.replace("\r\n", "\n") and not select.select([ours], [], [], 0)[0]
