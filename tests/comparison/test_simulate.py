"""`ablate simulate`: its tables, and that the documentation's are its. 15 s."""

import json
from pathlib import Path

import pytest

from ablate.__main__ import called
from ablate.comparison.simulation import fixed as simulation
from ablate.errors import InputError

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "simulations.md").read_text()


def printed(arguments, capsys):
    called("simulate", arguments)
    return capsys.readouterr().out


@pytest.mark.parametrize("row", [("half of the seeds at chance", "3", 3), ("its worst half diverges", "1", 8)])
def test_the_documents_rows_are_what_the_command_prints(row, monkeypatch, capsys):
    noise, designs, seeds = row
    monkeypatch.setattr(simulation, "SEEDS", (seeds,))
    monkeypatch.setattr(simulation, "DESIGNS_OF_EQUAL", (designs,))
    monkeypatch.setattr(simulation, "DESIGNS_WHERE_ONE_DIFFERS", (designs,))
    head, _, line, *_ = printed([noise, "--sweeps", "2000"], capsys).splitlines()
    assert head in DOCUMENT
    assert line.startswith(f"| {noise} | {designs} | {seeds} |") and line in DOCUMENT


def test_the_same_every_time_and_as_json(monkeypatch, capsys):
    monkeypatch.setattr(simulation, "SEEDS", (3,))
    rows = json.loads(printed(["skewed, means", "--sweeps", "3", "--json"], capsys))
    assert rows == json.loads(printed(["skewed, means", "--sweeps", "3", "--json"], capsys))
    assert [(row["designs"], row["seeds"], row["sweeps"]) for row in rows] == [("1", 3, 3), ("7", 3, 3)]


def test_every_noise_is_in_the_document():
    for noise in (*simulation.EQUAL, *simulation.ONE_DIFFERS):
        assert f"| {noise} |" in DOCUMENT


@pytest.mark.parametrize(("arguments", "said"), [(["cauchy"], "no row has that"), (["--sweeps", "0"], "at least")])
def test_wrong_words_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        called("simulate", arguments)
