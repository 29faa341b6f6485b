"""The variant of docs/your-own.md, made from outside the package."""

import json
import os
import re
import sys
from pathlib import Path

from tests import process

PAGE = Path(__file__).parents[2] / "docs" / "your-own.md"
SMALL = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "trainer=cpu", "trainer.max_epochs=1", "threads=1"]


def test_the_variant_of_the_docs_trains_from_a_folder_of_the_users_own(tmp_path):
    section = PAGE.read_text().split("## A variant of a part")[1].split("\n## ")[0]
    files = dict(re.findall(r"```\w+ title=\"([\w./]+)\"\n(.*?)```", section, flags=re.DOTALL))
    assert set(files) == {"my_lab.py", "my_conf/shortcut/blurred.yaml"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    trained = process.run(
        [sys.executable, "-m", "ablate", "--config-dir", "my_conf", "shortcut=blurred", "tracking=disabled", *SMALL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
        timeout=300,
    )
    assert trained.returncode == 0, trained.stderr
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("runs/*/run.json"))
    assert record["status"] == "finished" and record["choices"]["shortcut"] == "blurred"
    assert record["search_path"] == [f"--config-dir={tmp_path / 'my_conf'}"]
