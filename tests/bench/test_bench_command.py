"""`ablate bench`: its words, the conditions that it names, and rows as soon as they are there."""

import json

import pytest
import torch

from ablate import __main__ as main
from ablate import bench
from ablate.bench import conditions, data, gradients, paired
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError

ON_ONE_CORE = ["trainer=cpu", "threads=1"]


@pytest.fixture(autouse=True)
def _resolvers():
    register_resolvers()


def test_a_row_is_printed_before_the_next_is_measured(monkeypatch, capsys):
    seen = []

    def compare(overrides, rounds):
        yield paired.row("images", "<= 1", [0.1, 0.4, 0.2], "so")
        seen.append(capsys.readouterr().out.splitlines())
        raise RuntimeError("broken")

    monkeypatch.setattr(data, "compare", compare)
    with pytest.raises(RuntimeError):
        bench.show(ON_ONE_CORE, ["data"])
    assert seen[0][-2:] == ["images", "    0.200 (0.100 to 0.400), goal <= 1; so"]


def test_other_rows_stand_below_their_columns(monkeypatch, capsys):
    monkeypatch.setattr(gradients, "compare", lambda overrides, rounds: iter([{"network": "small", "ms": 1.5}] * 2))
    bench.show(ON_ONE_CORE, ["gradients"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [["network", "ms"], ["small", "1.500"], ["small", "1.500"]]


def test_json_alone_goes_to_the_standard_output_whole_even_if_a_comparison_fails(monkeypatch, capsys):
    def compare(overrides, rounds):
        yield paired.row("images", "<= 1", [float(number) for number in range(rounds)], "so", "images/s")
        raise RuntimeError("broken")

    monkeypatch.setattr(data, "compare", compare)
    with pytest.raises(RuntimeError):
        bench.show(ON_ONE_CORE, ["data"], rounds=3, as_json=True)
    found = json.loads(capsys.readouterr().out)
    (row,) = found["data"]
    assert (row["rounds"], row["unit"], row["goal"]) == ([0.0, 1.0, 2.0], "images/s", "<= 1")
    here = found["conditions"]
    assert (here["accelerator"], here["threads"]) == ("cpu", 1) and here["precision"] in ("32-true", "bf16-mixed")
    assert here["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert {"cpu", "features", "usable_cores", "load", "busy", "date", "git", "gpus"} <= set(here)


def test_features_are_the_processors_own():
    intel = "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16\nflags : none\n"
    assert conditions.features(intel) == ["avx2", "avx512f", "avx512_bf16", "amx_bf16"]
    assert conditions.features("processor: 0\nFeatures : fp asimd sve bf16\n") == ["asimd", "sve", "bf16"]
    assert conditions.features("") == []


@pytest.mark.parametrize(
    ("before", "after", "share"), [((10, 100), (60, 200), 0.5), ((10, 100), (10, 100), None), (None, (1, 2), None)]
)
def test_the_share_of_the_cores_in_use(before, after, share):
    assert conditions.busy(before, after) == share


def test_a_busy_machine_is_said(monkeypatch):
    here = conditions.now(ON_ONE_CORE)
    quiet, loaded = here | {"busy": 0.02}, here | {"busy": 0.6}
    assert not any("Warning" in line for line in conditions.lines(quiet))
    assert any(line.startswith("Warning: other programs") for line in conditions.lines(loaded))
    assert conditions.is_busy(here | {"busy": None, "load": 1.0, "cores": 2})


def told(*typed: str, monkeypatch: pytest.MonkeyPatch) -> tuple:
    """What `ablate bench` runs for these words: overrides, comparisons, rounds, JSON."""
    seen: list = []
    monkeypatch.setattr(
        bench, "show", lambda overrides, chosen, rounds, as_json: seen.append((overrides, chosen, rounds, as_json))
    )
    main.called("bench", list(typed))
    return seen[0]


def test_what_runs_by_default_takes_five_minutes_at_most(monkeypatch, tmp_path):
    assert told(monkeypatch=monkeypatch) == ([], list(bench.BY_DEFAULT), None, False)
    assert sum(bench.MINUTES[name] for name in bench.BY_DEFAULT) < 5
    assert told("all", "--rounds", "4", "--json", monkeypatch=monkeypatch) == ([], list(bench.NAMES), 4, True)
    mine = f"hydra.searchpath=['file://{tmp_path}']"
    folder = ["--config-dir", str(tmp_path)]
    assert told("data", "threads=1", *folder, monkeypatch=monkeypatch)[:2] == ([mine, "threads=1"], ["data"])


@pytest.mark.parametrize(("typed", "message"), [(["dta"], "bench dta: .* data"), (["--rounds", "0"], "--rounds 0")])
def test_words_that_the_bench_does_not_know(typed, message):
    with pytest.raises(InputError, match=message):
        main.called("bench", typed)


def test_help_says_what_each_comparison_takes(capsys):
    with pytest.raises(SystemExit):
        main.called("bench", ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} {minutes:g}" in shown for name, minutes in bench.MINUTES.items())
