"""What docs/ shows to be written by hand works as it is shown."""

import re
import sys
from pathlib import Path

import ablate
from ablate.__main__ import called
from tests.conftest import SMALL

ROOT = Path(__file__).parents[1]


def blocks(page: str, heading: str = "") -> list[tuple[str, str]]:
    """The titles and contents of a page's blocks of code; with a heading, those below it."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = text.split(f"\n{heading}\n")[1].split("\n## ")[0] if heading else text
    return re.findall(r'^```\w+(?: title="([^"]+)")?\n(.*?)^```', section, re.MULTILINE | re.DOTALL)


def test_the_network_and_the_data_of_ones_own_train(tmp_path, monkeypatch):
    found = [*blocks("your-own.md", "## A network")[:2], *blocks("your-own.md", "## Data")]
    assert [title for title, _ in found] == [
        "my_lab.py",
        "my_conf/model/small_net.yaml",
        "my_lab.py",
        "my_conf/data/my_data.yaml",
        "my_lab.py",
        "my_conf/data/my_module.yaml",
    ]
    for title, text in found:
        (tmp_path / title).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / title).open("a", encoding="utf-8") as file:
            file.write(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "my_lab", None)  # to be as it was afterwards: the examples have one too
    del sys.modules["my_lab"]
    settings = [word for word in SMALL if not word.startswith("model.")]
    run = ablate.train(
        ["model=small_net", "data=my_data", "model.width=8", "data.noise=0.1", "trainer.max_epochs=1", *settings],
        config_dir="my_conf",
    )
    assert run.status == "finished" and len(run.test_set[1]) and run.network.layers[0].out_channels == 8
    run = ablate.train(["model=small_net", "data=my_module", "trainer.max_epochs=1", *settings], config_dir="my_conf")
    assert run.status == "finished" and run.summary["test/acc"] > 0


def test_a_table_of_runs_is_read_by_pandas_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for norm in ("batch", "none", "group"):  # pandas takes two names for values where there are two rows
        ablate.train([f"norm={norm}", "trainer.max_epochs=1", *SMALL])
    called("table", ["runs", "-o", "all.parquet"])
    ((_, code),) = blocks("elsewhere.md")
    *imports, last = code.strip().splitlines()
    exec("\n".join(imports), known := {})
    table = eval(last, known)
    assert list(table["count"]) == [1, 1, 1]


def test_a_file_of_claims_is_one(tmp_path, capsys):
    ((_, text),) = blocks("report.md", "## Compare with what a paper says")
    (tmp_path / "claims.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "shortcuts").symlink_to(ROOT / "results" / "shortcuts")
    called("claims", [str(tmp_path / "claims.yaml")])
    assert "**agrees**" in capsys.readouterr().out
