"""Sweep files that are none, or say something that nobody means: refused at once with what to do."""

import os

import pytest

from ablate.__main__ import called
from ablate.configuration.refusals.guard import guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan

GRID = "method: grid\nparameters:\n  seed: {values: [0, 1]}\n"
DRAWN = "method: random\nrun_cap: 3\nparameters:\n  optimizer.lr: "
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
WRONG = {
    "empty": (b"", "not a sweep file"),
    "a list": (b"- a\n", "not a sweep file"),
    "a number": (b"5", "not a sweep file"),
    "Latin-1": ("description: café\n".encode("latin-1") + GRID.encode(), "not UTF-8, in line 1"),
    "within itself": (f"{GRID}  x: &a {{values: [*a]}}\n", "the alias in line \\d+ contains itself"),
    "deep": (f"{GRID}  x: {{value: {'[' * 3000}{']' * 3000}}}\n", "nested too deeply"),
    "multiplied": (BOMB + GRID, "43,046,721|[0-9,]+ values; at most"),
    "a billion": (
        "method: grid\nparameters:\n" + "".join(f"  a{n}: {{values: [0,1,2,3,4,5,6,7,8,9]}}\n" for n in range(9)),
        "1,000,000,000 cells",
    ),
    "no method": (GRID.replace("method: grid\n", ""), "`method` is missing.*grid"),
    "Grid": (GRID.replace("grid", "Grid"), "no method: Grid. Did you mean grid"),
    "unknown": (GRID.replace("grid", "one_factor_at_a_time"), "no method: one_factor_at_a_time.*grid.*random.*bayes"),
    "bayes": (GRID.replace("grid", "bayes"), "method: bayes needs W&B's server"),
    "an s": (f"{GRID}  norm: {{value: [batch, none]}}\n", r"norm: \{values: \[batch, none\]\}"),
    "nothing reads it": (f"{GRID}  +lr: {{value: 0.1}}\n", "lr: nothing reads this key. Did you mean optimizer.lr"),
    "misspelt": (f"{DRAWN}{{distribuiton: log_uniform_values, min: 0.001, max: 0.1}}\n", "Did you mean distribution"),
    "contradicting": (GRID.replace("{values", "{value: 3, values"), "`value` and `values` contradict each other"),
    "twice": (
        f"{GRID}  optimizer.lr: {{value: 1}}\n  optimizer: {{parameters: {{lr: {{value: 2}}}}}}\n",
        "optimizer.lr",
    ),
    "twice as a value": (f"{GRID}  optimizer.lr: {{value: 1}}\n  optimizer: {{value: {{lr: 2}}}}\n", "set twice"),
    "log of 0": (f"{DRAWN}{{distribution: log_uniform_values, min: 0, max: 0.1}}\n", "min: 0: .* above 0"),
    "without q": (f"{DRAWN}{{distribution: q_log_uniform_values, min: 0.001, max: 0.1}}\n", "rounded to 0 by q: 1"),
    "no logarithms": (f"{DRAWN}{{distribution: log_uniform, min: 1, max: 512}}\n", "1e222.*log_uniform_values"),
    "upside down": (f"{DRAWN}{{min: 1, max: 0.5}}\n", "min: 1 is above max: 0.5"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_at_once(tmp_path, name):
    register_resolvers()
    content, says = WRONG[name]
    file = tmp_path / "sweep.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        plan(SweepFile.read(file), ["trainer=cpu"])


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="YAML file is expected"):
            SweepFile.read(type(tmp_path)(path))


def test_a_name_may_be_a_number(tmp_path):
    (tmp_path / "sweep.yaml").write_text(f"name: 2024\n{GRID}", encoding="utf-8")
    assert SweepFile.read(tmp_path / "sweep.yaml").name == "2024"


@pytest.mark.parametrize("folder", ["é", "a,b=1"])
def test_a_folder_of_options_may_have_any_name(tmp_path, monkeypatch, capsys, folder):
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder / "activation").mkdir(parents=True)
    (tmp_path / folder / "activation" / "mine.yaml").write_text("{_target_: torch.nn.ELU, _partial_: true}")
    (tmp_path / "sweep.yaml").write_text(f"{GRID}  activation: {{value: mine}}\n")
    assert guarded(called, "plan", ["sweep.yaml", "--config-dir", folder, "trainer=cpu", "--json"]) == 0
    assert '"to do": 2' in capsys.readouterr().out
    assert guarded(called, "plan", ["sweep.yaml", "--config-dir", "nowhere"]) == 2
