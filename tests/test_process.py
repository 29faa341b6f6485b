"""The processes of tests/process.py are as those of `subprocess`."""

import os
import signal
import subprocess
import sys

import pytest

from tests import process

SEEN = """
import json, os, sys, __main__
sys.stderr.write("said")
print(json.dumps([os.getcwd(), sys.argv, sys.path[:2], dict(os.environ), sys.stdin.read(), __name__, __main__.a]))
"""


def test_it_sees_and_says_what_another_does(tmp_path):
    command = [sys.executable, "-c", f"a = 1\n{SEEN}", "one", "two words"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "mine"), "WANDB_MODE": "offline"}
    real = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    forked = process.run(command, cwd=tmp_path, env=environment, text=True)
    assert (forked.stdout, forked.stderr, forked.returncode) == (real.stdout, real.stderr, 0)


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.exit(7)",
        "import atexit; atexit.register(print, 'last'); print('first')",
        "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('waited for'))).start()",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import sys; sys.exit('wrong')",
        "import os; print('lost'); os._exit(3)",
    ],
)
def test_it_ends_as_another_does(program):
    command = [sys.executable, "-c", program]
    real = subprocess.run(command, capture_output=True, text=True)
    forked = process.run(command, text=True)
    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


def test_it_is_killed_by_its_id_and_waited_for():
    waiting = process.Process([sys.executable, "-c", "import time; time.sleep(600)"])
    assert waiting.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.communicate(timeout=0.05)
    os.kill(waiting.pid, signal.SIGKILL)
    assert waiting.wait(60) == -signal.SIGKILL == waiting.poll()


def test_draws_are_its_own():
    command = [sys.executable, "-c", "import random, numpy; print(random.random(), numpy.random.rand())"]
    first, second = (process.run(command, text=True).stdout.split() for _ in range(2))
    assert first[0] != second[0] and first[1] != second[1]


@pytest.mark.parametrize(
    "name", ["ATEN_CPU_CAPABILITY", "PYTHONHASHSEED", "OMP_NUM_THREADS", "KMP_BLOCKTIME", "LD_PRELOAD"]
)
def test_what_is_read_at_a_start_or_an_import_is_refused(name):
    with pytest.raises(AssertionError, match=rf"{name}.* use subprocess"):
        process.run([sys.executable, "-c", ""], env=os.environ | {name: "17"})


def test_what_the_tests_have_set_themselves_is_passed_on(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    command = [sys.executable, "-c", "import os; print(os.environ.get('OMP_NUM_THREADS'))"]
    assert process.run(command, text=True).stdout == "17\n"
    clean = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    assert process.run(command, env=clean, text=True).stdout == "None\n"


def test_to_read_its_output_does_not_move_where_what_it_has_left_behind_writes():
    done = process.Process([sys.executable, "-c", "print('said')"])
    done.wait(60)
    shared = done._stdout.fileno()  # a process that it has left behind writes at the same place
    os.lseek(shared, 2, os.SEEK_SET)
    assert done.communicate()[0] == "said\n" and os.lseek(shared, 0, os.SEEK_CUR) == 2
