"""A report of variants that change several choices: tables have a column for each choice, not the string."""

import json
import re
from pathlib import Path

import pytest
import yaml

from ablate.__main__ import called
from ablate.configuration.resolvers import register_resolvers

VARIANTS = ["", "norm=none", "placement=full_pre_activation activation=gelu", "optimizer.lr=0.02 norm=group"]


@pytest.fixture
def report(tmp_path, monkeypatch, capsys):
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "180")
    parameters = {"variant": {"values": VARIANTS}, "seed": {"values": [0, 1]}}
    Path("v.yaml").write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}), encoding="utf-8")
    called("report", ["v.yaml", "trainer=cpu", "threads=1", "model.stages=[1,1,1]"])
    return tmp_path / "report"


def test_each_choice_has_a_column(report, capsys):
    told = capsys.readouterr().out
    heads, _, *rows = (
        [cell.strip().replace("\\", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in (report / "table.md").read_text().splitlines()
        if line.startswith("|")
    )
    assert heads[:6] == ["variant", "norm", "placement", "activation", "optimizer.lr", "n"]
    values = [row[1:5] for row in rows]
    lr = values[0][3]
    assert values == [
        ["batch", "original", "relu", lr],
        ["none", "original", "relu", lr],
        ["batch", "full_pre_activation", "gelu", lr],
        ["group", "original", "relu", "0.02"],
    ]
    assert "variant=" not in told
    (line,) = (line for line in told.splitlines() if line.startswith("variant "))
    assert line.split()[:5] == ["variant", "norm", "placement", "activation", "optimizer.lr"]

    latex = (report / "table.tex").read_text()  # a column's width has no room for them: what differs, breakable
    assert "placement=\\allowbreak{}full" in latex and "variant=" not in latex

    page = (report / "index.html").read_text()
    heads = re.findall(r'<th scope="col" class="left choice"><button type="button">([^<]*)</button>', page)
    assert heads == ["norm", "placement", "activation", "lr"]
    assert json.loads((report / "comparison.json").read_text())["variants"][3]["assignment"]["norm"] == "group"


def test_where_one_choice_varies_its_value_is_the_variants_name(tmp_path, monkeypatch):
    register_resolvers()
    monkeypatch.chdir(tmp_path)
    parameters = {"norm": {"values": ["batch", "none"]}, "seed": {"values": [0]}}
    Path("n.yaml").write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}), encoding="utf-8")
    called("report", ["n.yaml", "trainer=cpu", "threads=1"])
    assert (tmp_path / "report" / "table.md").read_text().count("| n |") == 1
    assert "| variant | n |" in (tmp_path / "report" / "table.md").read_text()
