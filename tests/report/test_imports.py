"""What a command does not import, since it does not need it: torch alone takes a second. 10 s."""

import json
import os
import subprocess
import sys

import pytest

from ablate.configuration.composition import CONF
from ablate.configuration.resolvers import register_resolvers
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import plan

ROOT = CONF.parent

# By their top-level names.
TRAINING = ("torch", "torchvision", "torchmetrics", "lightning_fabric", "pytorch_lightning", "wandb", "sklearn")
DRAWING = ("matplotlib", "PIL")
STATISTICS = ("scipy", "pandas", "statsmodels", "pyarrow")

# Packages that are more than the place of their modules.
OFFER = ("ablate", "sweep", "bench")

PROGRAM = """
import json, sys
from ablate.__main__ import main
sys.argv = ["ablate", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""

SWEEP = """
method: grid
parameters:
  norm: {values: [batch, none]}
  seed: {values: [0, 1]}
  trainer: {value: cpu}  # to look for a GPU takes torch, where there is a driver
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, simulate):
    """Where sweep.yaml has been run: a result for each of its cells in runs/."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "results.csv").write_text("norm,acc\nbatch,0.9\nbatch,0.91\nnone,0.8\nnone,0.85\n")
    register_resolvers()
    for cell in plan(SweepFile.read(folder / "sweep.yaml"), [f"runs_dir={folder / 'runs'}"]):
        typed = {"norm": cell.assignment["norm"]}
        simulate(folder / "runs", typed, cell.assignment["seed"], 0.9, directory=cell.directory)
    return folder


def imported(folder, *arguments, code=0):
    """The top-level names of all modules after the command has run in `folder`, and what it printed."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    ended, names = json.loads(run.stderr.splitlines()[-1])
    assert ended == code, run.stderr
    return set(names), run.stdout


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--help", 0),
        ("--cfg job", 0),
        ("model=resnet21", 2),
        ("reprot", 2),
        ("plan --help", 0),
        ("plan sweep.yaml", 0),
    ],
)
def test_what_neither_trains_nor_compares_imports_nothing_for_it(folder, line, code):
    names, _ = imported(folder, *line.split(), code=code)
    assert names & {*TRAINING, *DRAWING, *STATISTICS} == set()


@pytest.mark.parametrize(
    "line", ["report runs", "report sweep.yaml", "report results.csv --metric acc", "table runs -o all.csv"]
)
def test_a_report_imports_nothing_that_trains(folder, line):
    names, shown = imported(folder, *line.split())
    assert names & {*TRAINING, "matplotlib"} == set()
    assert "norm=none" in shown or "4 runs" in shown


OPENING = """
import io, json, sys
from ablate.__main__ import main
class Screen(io.StringIO):
    def write(self, text):
        shown.append([text, "torch" in sys.modules])
        return len(text)
shown, real = [], sys.stdout
sys.argv, sys.stdout = ["ablate", *json.loads(sys.argv[1])], Screen()
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, shown[0], [text for text, _ in shown], sorted(sys.modules)]), file=real)
"""
TINY = "trainer=cpu threads=1 tracking=offline trainer.max_epochs=1 \
    model.stages=[1,1,1] model.widths=[4,8,8] schedule.warmup.fraction=0 +trainer.limit_train_batches=2"


def test_a_run_imports_what_it_needs_and_says_first_what_it_trains(tmp_path):
    words = json.dumps([*TINY.split(), "runs_dir=runs"])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", OPENING, words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    code, (first, torch_was_there), shown, modules = json.loads(run.stdout)
    assert code == 0 and "pytorch_lightning" in modules
    assert first.startswith("resnet20 on digits, 1 epoch, seed 0: ") and not torch_was_there
    assert any(text.startswith("training: runs/") for text in shown)
    heavy = ("statsmodels", "sklearn", "mlflow", "scipy.signal", "scipy.stats", "scipy.optimize", "pandas")
    heavy += ("torchvision", "torch._dynamo.", "torch._inductor")
    assert {name for name in modules if name.startswith(heavy)} == set()


AFTERWARDS = """
from ablate.process import lightning; lightning.load()
import sys, torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.compile import _maybe_unwrap_optimized as unwrapped
from torchmetrics.functional.image import dists

module = LightningModule()
module.layer = torch.nn.Linear(2, 1)
module.forward = module.layer.forward
optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
module(torch.ones(2)).backward()
optimizer.step(); optimizer.zero_grad()
assert module.layer.weight.grad is None and unwrapped(module) is module

@torch.compiler.disable
def aside(number):
    compiling.append(torch.compiler.is_compiling())
    return number + 1

compiling = []
aside(torch.ones(1))
assert not {"torch._dynamo.eval_frame", "torchvision", "scipy.signal", "pandas"} & set(sys.modules)

# Imports a function of torch._dynamo.utils.
assert type(dists.vgg16(weights=None)).__name__ == "VGG"
transforms = sys.modules["torchmetrics.functional.image.arniqa"].transforms
assert type(transforms.Resize(8)).__module__.startswith("torchvision.")

import torch._dynamo.utils
from torch._dynamo import OptimizedModule, convert_frame
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__file__
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
assert convert_frame.counters is torch._dynamo.utils.counters  # it has been imported once
compiled = torch.compile(module, backend="eager")
assert torch.equal(compiled(torch.ones(2)), module(torch.ones(2)))
assert isinstance(compiled, OptimizedModule) and unwrapped(compiled) is module
optimizer.step(); optimizer.zero_grad()

def backend(graph, inputs):
    nodes.extend(str(node.target) for node in graph.graph.nodes)
    return graph.forward

nodes = []
assert torch.compile(lambda number: aside(number * 2) * 3, backend=backend)(torch.ones(1)) == 9
assert compiling == [False, False] and any("mul" in node for node in nodes) and not any("add" in node for node in nodes)

import scipy.signal
assert len(scipy.signal.windows.hann(5)) == 5 and scipy.signal is sys.modules["scipy.signal"]

import io, pyarrow as pa
assert pa.array([1.5, None]).null_count == 1 and "pandas" not in sys.modules
assert pa.table({"a": [1, 2]}).to_pandas()["a"].sum() == 3
import pandas as pd
file = io.BytesIO()
pd.DataFrame({"b": [1.0, float("nan")]}, index=["x", "y"]).to_parquet(file)
assert pd.read_parquet(file).index.tolist() == ["x", "y"]
assert pa.array(pd.Series([1.0, float("nan")])).null_count == 1  # as pandas means it
"""


def test_what_lightning_was_imported_without_is_there_when_it_is_asked_for():
    run = subprocess.run([sys.executable, "-c", AFTERWARDS], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_packages_import_nothing():
    """Lest one module take its neighbours with it. `bench` is a command itself; what `import ablate` and `ablate.sweep`
    take, tests/api looks at."""
    files = [file for file in (ROOT / "ablate").rglob("__init__.py") if file.parent.name not in OFFER]
    assert len(files) >= 6
    assert [file for file in files if compile(file.read_text(), file, "exec").co_names != ("__doc__",)] == []
