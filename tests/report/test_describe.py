"""`describe` as a user meets it: tables, JSON, the table of networks in docs; without training's packages or data."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.configuration.composition import CONF
from tests import process
from tests.design.test_conf import SOURCE

ROOT = Path(__file__).resolve().parents[2]


def ablate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ablate", "describe", *arguments]
    return process.run(command, cwd=folder, env=os.environ | {"COLUMNS": "60"}, text=True, timeout=300)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("model=resnet2", "model=resnet2: there is no such option. Did you mean"),
        ("modl=resnet20", "Did you mean model?"),
        ("model.stages=3", "a list of numbers is expected"),
        ("data.image_size=2", "too small"),
        ("seed=-1", "seed=-1: it must not be negative"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(tmp_path, wrong, said):
    run = ablate(tmp_path, wrong)
    assert run.returncode == 2
    assert run.stdout == ""
    assert said in run.stderr
    assert run.stderr.startswith("ablate: ")
    assert len(run.stderr.splitlines()) == 1


def test_tables_are_plain_where_nobody_watches(tmp_path):
    # A machine without data or GPU describes what another will train.
    run = ablate(tmp_path, "model=resnet50", "data=image_folder", "activation=gelu", "trainer=gpu")
    assert (run.returncode, run.stderr) == (0, "")
    assert "\x1b" not in run.stdout
    rows = {line.split()[0]: line.split() for line in run.stdout.splitlines() if line.strip()}
    assert rows["total"][1:4] == ["16", "25,557,032", "4.089G"]
    assert rows["stage2"][:3] == ["stage2", "512x28x28", "4"]
    assert rows["activation"] == ["activation", "relu", "→", "gelu", "same", "same"]
    assert "trainer auto → gpu" in run.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_option_from_a_users_own_folder(tmp_path):
    (tmp_path / "mine" / "norm").mkdir(parents=True)
    own = (CONF / "norm" / "batch.yaml").read_text().replace("_partial_: true", "_partial_: true\naffine: false")
    (tmp_path / "mine" / "norm" / "fixed.yaml").write_text(own)
    arguments = ["data=image_folder", "model=resnet50", "norm=fixed", "--json"]
    run = ablate(tmp_path, "--config-dir", "mine", *arguments)
    assert (run.returncode, run.stderr) == (0, "")
    network = json.loads(run.stdout)
    assert network["choices"]["norm"] == "fixed"
    # Batch norm has as many weights and biases as running means and variances.
    assert network["params"] == 25_557_032 - 53_120
    (norm,) = (change for change in network["differences"] if change["choice"] == "norm")
    assert norm["params"] == -53_120


def test_training_is_not_imported():
    program = (
        "import sys; from ablate.__main__ import main\n"
        "sys.argv = ['ablate', 'describe', 'norm=group', '--json']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'pytorch_lightning', 'wandb', 'torchvision', 'torchmetrics'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.stderr == "[]\n"
    assert json.loads(run.stdout)["params"] > 0


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = ablate(tmp_path_factory.mktemp("empty"), "--table")
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_table_of_all_experiments(table):
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    assert {len(cells) for cells in lines} == {6}
    rows = {name.strip(" `"): [cell.strip() for cell in cells] for name, *cells in lines[2:]}
    assert set(rows) == {file.stem for file in (CONF / "experiment").glob("*.yaml")}
    assert all(re.match(f"{SOURCE}[,:]", source) for source, *_ in rows.values())
    assert list(rows).index("he2015_resnet20") < list(rows).index("he2015_resnet110")
    # Counts of the documents; multiply-adds as He et al. 2015 print them, 3.6 and 11.3 x 10^9.
    assert rows["patterns_resnet34"][1:4] == ["3x224x224", "1000", "16,822,760"]
    assert rows["notebook_resnet34"][3] == "26,801,448"
    assert rows["he2015_resnet56"][0] == "He et al. 2015, table 6: ResNet-56 for CIFAR, option A"
    assert rows["he2015_resnet34_a"][4].startswith("3.6")
    assert round(float(rows["he2015_resnet152"][4].removesuffix("G")), 1) == 11.3


def test_the_docs_table_is_what_the_command_prints(table):
    _, begin, rest = (
        (ROOT / "docs" / "networks.md").read_text().partition("<!-- python -m ablate describe --table -->\n")
    )
    shown, end, _ = rest.partition("<!-- end of the table -->\n")
    assert begin and end
    assert shown.strip() == table.strip()
