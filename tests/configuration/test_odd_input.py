"""Odd overrides and damaged sweep files, made up by a seeded generator: each is taken or refused with one message, in
time, and nothing is written. A sample runs always, all of them with --long."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ablate.configuration.composition import Composition, axes, composed, plain
from ablate.configuration.parameters import arguments
from ablate.configuration.refusals.arguments import check_arguments
from ablate.configuration.refusals.guard import by_hydra, guarded
from ablate.configuration.resolvers import register_resolvers
from ablate.configuration.schema import check, check_keys
from ablate.runs import cell
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan
from tests.conftest import SMALL

SECONDS = 20
OVERRIDES, FILES = 400, 150

VALUES = (
    *("", "null", "true", "None", "???", "x", "auto", "é", "'é'", '""', "a,b", "x x", "=", "[", "}", "..", "~"),
    *("0", "-1", "1.5", "1e23", "1e-400", "inf", "-inf", "nan", "18446744073709551616", "1_1_1", "007", "9" * 2000),
    *("[]", "[1]", "[a]", "[null]", "[[1]]", "[1,2,3,4]", "[0.1]", "[" * 80 + "]" * 80, "{}", "{a:1}", "{1:2}"),
    *("${seed}", "${nothing}", "${data}", "${oc.env:NOT_SET_AT_ALL}", "${no.such:1}", "'${'", "/dev/null", "x" * 300),
    *("{_target_:os.getcwd}", "{_target_:no.such}", "[{_target_:os.getcwd}]", "torch.nn.ReLU", "os.getcwd", "\udcff"),
)
LATER = ("+lr", "+trainer.limit_train_batches", "+trainer.callbacks", "+trainer.val_check_interval", "+optimizer.x")

SWEEP = """\
description: Does it hold?
method: grid
metric: {name: val/acc, goal: maximize}
parameters:
  norm: {values: [batch, none]}
  optimizer.lr: {values: [0.1, 1e-2]}
  model: {parameters: {widths: {value: [4, 8, 8]}}}
  seed: {values: [0, 1]}
"""
RANDOM = """\
method: random
run_cap: 3
parameters:
  optimizer.lr: {distribution: log_uniform_values, min: 0.001, max: 0.1}
  data.batch_size: {distribution: q_uniform, min: 16, max: 64, q: 16}
  label_smoothing: {min: 0.0, max: 0.2}
"""
WORDS = (
    *(
        "&a ",
        "*a",
        "<<: *a",
        "[",
        "]",
        "{",
        "}",
        ": ",
        "- ",
        "\t",
        "\0",
        "'",
        '"',
        "#",
        "|",
        ">",
        "%",
        "@",
        "!!python/x ",
    ),
    *(
        "null",
        "~",
        "true",
        "-1",
        "1e9",
        ".inf",
        ".nan",
        "1000000000",
        "2024-01-01",
        "0x1F",
        "é",
        "\ud800",
        "${x}",
        "${",
    ),
    *("values", "value", "vlaues", "min", "max", "q", "mu", "parameters", "distribution", "method", "bayes", "Grid"),
)


class Hung(BaseException):
    """It took too long."""


@contextmanager
def in_time() -> Iterator[None]:
    """Raise Hung after SECONDS of this process's own time, whatever else the machine does, or ever so long a wait."""

    def ring(*_: object) -> None:
        raise Hung

    before = {number: signal.signal(number, ring) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(15 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def keys() -> list[str]:
    """Every key of a few configurations, and every axis."""

    def leaves(value: object, path: str) -> Iterator[str]:
        yield path
        for key, item in value.items() if isinstance(value, dict) else ():
            yield from leaves(item, f"{path}.{key}")

    found = dict.fromkeys(axes(composed([])))
    for options in ([], ["optimizer=adam", "schedule=one_cycle", "data=image_folder", "head=vgg", "shortcut=dropout"]):
        for key, value in plain(composed(options), resolve=False).items():
            found |= dict.fromkeys(leaves(value, key))
    return list(found)


def odd_overrides(rng: random.Random, known: list[str]) -> list[str]:
    made = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        key, value = rng.choice(known), rng.choice(VALUES)
        kind = rng.randrange(8)
        if kind == 0:
            made.append(f"~{key}")
        elif kind == 1:
            at = rng.randrange(len(key))
            made.append(f"{rng.choice(('', '+'))}{key[:at]}{rng.choice('x._@/')}{key[at + 1 :]}={value}")
        elif kind == 2:
            made.append(f"{rng.choice(LATER)}={value}")
        else:
            made.append(f"{rng.choice(('', '', '', '++'))}{key}={value}")
    return made


def damaged(rng: random.Random, text: str) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 3))):
        lines, kind, at = text.splitlines(keepends=True), rng.randrange(7), rng.randrange(len(text))
        line = rng.randrange(len(lines))
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + text[at + rng.randrange(1, 6) :]
        elif kind == 2:
            text = "".join(lines[:line] + lines[line + 1 :])
        elif kind == 3:
            text = "".join([*lines[:line], lines[rng.randrange(len(lines))], *lines[line:]])
        elif kind == 4:
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            text = " ".join(words)
        else:
            text = text[:at] + rng.choice(WORDS) * rng.choice((1, 1, 1, 5000)) + text[at:]
        text = text or " "
    written = text.encode("utf-8", "surrogatepass")
    return written if rng.random() > 0.05 else text.encode("utf-16", "surrogatepass")


def faults(tried: Callable[[], object], folder: Path, kept: set[str], capsys: pytest.CaptureFixture[str]) -> str | None:
    """What went wrong, or None where it was taken, or refused as it should be."""
    try:
        with in_time():
            code = guarded(tried)
    except Hung:
        return f"took more than {SECONDS} s"
    # Several things that are wrong are listed below the first line, each in one.
    said, *listed = capsys.readouterr().err.strip().splitlines() or [""]
    if code not in (0, 2):
        return "\n".join([said, *listed][-3:])
    is_list = f" {len(listed)} things are wrong:" in said and all(line.startswith("  ") for line in listed)
    if code == 2 and ((listed and not is_list) or not said.startswith("ablate: ") or len(said) < 20):
        return f"said: {[said, *listed]}"
    left = {path.name for path in folder.iterdir()} - kept
    return f"left {left}" if left else None


def counts(number: int, sample: int) -> list[object]:
    return [sample, pytest.param(number, marks=pytest.mark.long)]


@pytest.mark.parametrize("number", counts(OVERRIDES, 40))
def test_odd_overrides(tmp_path, monkeypatch, capsys, number):
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    rng, known, wrong, refused = random.Random(1), keys(), {}, 0
    for _ in range(number):
        typed = odd_overrides(rng, known)
        taken: list[object] = []

        def tried(typed: list[str] = typed, taken: list[object] = taken) -> None:
            check_arguments(typed)
            small = [text for text in SMALL if text.split("=")[0] not in "".join(typed)]
            composition: list[Composition] = []
            by_hydra(lambda: composition.append(Composition.of(arguments([*small, *typed]))))
            taken.append(cell.prepare(composition[0]))

        if fault := faults(tried, tmp_path, set(), capsys):
            wrong[" ".join(typed)[:120]] = fault
        refused += not taken
    assert wrong == {}
    assert number / 3 < refused < number, "neither everything nor nothing is wrong"


@pytest.mark.parametrize("number", counts(FILES, 20))
def test_damaged_sweep_files(tmp_path, monkeypatch, capsys, number):
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    rng, wrong, refused = random.Random(2), {}, 0
    file = tmp_path / "sweep.yaml"
    for _ in range(number):
        content = damaged(rng, rng.choice((SWEEP, RANDOM)))
        file.write_bytes(content)
        cells: list[object] = []

        def tried(cells: list[object] = cells) -> None:
            cells.extend(plan(SweepFile.read(file), ["trainer=cpu", "threads=1", "tracking=disabled"]))

        if fault := faults(tried, tmp_path, {file.name}, capsys):
            wrong[content[:400]] = fault
        refused += not cells
    assert wrong == {}
    assert number / 3 < refused < number, "neither everything nor nothing is wrong"


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.long)])
def test_every_option_has_only_keys_that_are_read_and_values_in_range(tmp_path, options, long):
    """A key that is added to conf/ is declared in ablate/configuration/schema.py."""
    register_resolvers()
    np.save(tmp_path / "x.npy", np.zeros((10, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(10) % 2)
    files = {"arrays": [f"data.root={tmp_path}", "data.images=x.npy", "data.labels=y.npy"]}
    for axis in axes(composed([])):
        for option in options(axis) if (axis in ("experiment", "model")) == long else ():
            cfg = composed([f"{axis}={option}", *files.get(option, ())])
            check_keys(plain(cfg, resolve=False))
            check(plain(cfg, resolve=True))
