"""`import ablate`: train, load, predict, sweep, compare, export, and a notebook that does it all. 60 s."""

import inspect
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import ablate
from ablate.api import sweeping
from ablate.errors import InputError
from ablate.runs import record

SMALL = [
    "model.stages=[1,1,1]",
    "model.widths=[4,8,8]",
    "trainer=cpu",
    "threads=1",
    "tracking=disabled",
    "trainer.precision=32-true",
    "gradient_norms.pictures=false",
    "trainer.max_epochs=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("python")


@pytest.fixture(scope="module")
def run(folder):
    return ablate.train([*SMALL, f"runs_dir={folder / 'runs'}"])


@pytest.fixture(scope="module")
def tested():
    """The images and labels of the digits' test set, as scikit-learn cuts it off."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    _, images, _, labels = train_test_split(
        pixels, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    return images, labels


def test_to_import_it_takes_nothing():
    program = "import ablate, sys; dir(ablate); print(len([n for n in sys.modules if n.startswith('ablate')]))"
    program += "; print('torch' in sys.modules, 'hydra' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "False", "False"]


def example(name: str) -> str:
    """The lines of code in the documentation of what `ablate` offers."""
    text = inspect.getdoc(getattr(ablate, name)) or ""
    return "\n".join(line[4:] for line in text.splitlines() if re.match(r"    (run|report|ablate)\b", line))


@pytest.mark.parametrize("name", ["train", "load", "sweep", "compare", "export"])
def test_the_example_of_each_name_runs(name, run, folder, tested, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "sweeps").mkdir(exist_ok=True)
    swept = {"method": "grid", "parameters": {"norm": {"values": ["batch", "none"]}}}
    (folder / "sweeps" / "quick.yaml").write_text(yaml.safe_dump(swept))
    small = ", ".join(map(repr, [*SMALL, "hydra/launcher=basic"]))
    if name == "compare":  # which takes two
        ablate.train([*SMALL, "norm=none"])
    code = example(name)
    for typed, meant in {
        '"model=resnet20", "seed=1", "trainer.max_epochs=5"': small.rpartition(",")[0],
        '"trainer.max_epochs=5"': small,
        '"runs/07c0"': repr(f"runs/{run.record.fingerprint[:4]}"),
    }.items():
        code = code.replace(typed, meant)
    assert code
    exec(code, {"ablate": ablate, "images": tested[0]})
    assert name != "export" or (folder / "net.onnx").exists()


def test_every_name_is_documented():
    offered = {name for name in dir(ablate) if not name.startswith("_")} - {"errors"}
    assert offered >= {"train", "load", "sweep", "compare", "export", "Run", "InputError"}
    for function in (ablate.train, ablate.load, ablate.compare, ablate.export, sweeping.sweep):
        assert "Raises InputError" in (inspect.getdoc(function) or ""), function
    for name, member in vars(ablate.Run).items():
        assert name.startswith("_") or inspect.getdoc(member), name


def test_a_run_is_trained_once(run, folder):
    assert run.trained and run.status == "finished" and run.directory.parent == folder / "runs"
    again = ablate.train([*SMALL, f"runs_dir={folder / 'runs'}"])
    assert not again.trained and again.summary == run.summary
    assert record.read(run.directory) == again.record
    with pytest.raises(InputError, match="a list of words"):
        ablate.train("model=resnet20")
    with pytest.raises(InputError, match="max_epochs"):
        ablate.train(["trainer.max_epochs=0"])
    with pytest.raises(AttributeError, match="trian"):
        ablate.trian  # noqa: B018


def test_its_numbers_are_data_frames(run):
    last = run.metrics[run.metrics["name"] == "test/acc"]["value"].iloc[-1]
    assert last == run.summary["test/acc"]
    assert list(run.metrics.columns) == ["step", "epoch", "name", "value"]
    norms = run.gradient_norms
    assert len(norms) == pq.ParquetFile(run.directory / "gradient_norms.parquet").metadata.num_rows
    assert {"step", "layer", "depth", "norm", "rms"} <= set(norms.columns)
    assert "test/acc" in run._repr_html_()


def test_a_loaded_network_predicts_what_was_tested(run, tested):
    images, labels = tested
    loaded = ablate.load(str(run.directory)[:-4])
    scores = loaded.predict(images)
    assert scores.shape == (360, 10) and scores.dtype == np.float32
    assert (scores.argmax(1) == labels).mean() == pytest.approx(run.summary["test/acc"])
    for same in (images[:, None], images[..., None], torch.tensor(images), images / 255):
        assert np.allclose(loaded.predict(same), scores, atol=1e-5)
    assert not loaded.network.training


def test_its_test_set_is_that_of_the_training(run, tested, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    images, labels = ablate.load(run.directory).test_set
    assert images.dtype == np.uint8 and np.array_equal(images[:, 0], tested[0]) and np.array_equal(labels, tested[1])


def test_a_test_set_that_has_changed_or_is_made_by_strangers_is_refused(run, tmp_path):
    theirs = tmp_path / "07c0"
    shutil.copytree(run.directory, theirs)
    config = yaml.safe_load((theirs / "config.yaml").read_text())
    config["data"]["source"]["split_seed"] = 1
    (theirs / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match="have changed since"):
        _ = ablate.load(theirs).test_set
    config["data"]["source"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'ran'}"}
    (theirs / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=r"names os\.system, .*trust=True"):
        _ = ablate.load(theirs).test_set
    assert not (tmp_path / "ran").exists()


def without_range(directory: Path) -> None:
    """Make of a run one of an older version, which did not record the range of the training images."""
    for path in (directory / "checkpoints").glob("*.ckpt"):
        state = torch.load(path, weights_only=True)
        (own,) = (part for part in state.values() if isinstance(part, dict) and "of_bytes" in part)
        del own["range"]
        torch.save(state, path)


@pytest.mark.parametrize("is_old", [False, True])
def test_images_of_another_scale_are_warned_of(run, tested, tmp_path, is_old):
    directory = tmp_path / "07c0"
    shutil.copytree(run.directory, directory)
    if is_old:
        without_range(directory)
    loaded, images = ablate.load(directory), tested[0]
    pixels = load_digits().images[:50]  # 0 to 16
    for odd in (pixels.astype(np.uint8), pixels / 255):
        with pytest.warns(UserWarning, match=r"from 0 to (16|0\.06\d+), those .* from 0 to (255|1)\.") as caught:
            loaded.predict(odd)
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for even in (images, images[:1], images // 3, images / 255):
            loaded.predict(even)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8), int), "int64"),
        (np.zeros((2, 3, 8, 8), np.uint8), "3 channels"),
        (np.zeros((8, 8), np.uint8), "2 axes"),
        (np.full((2, 8, 8), 9.0), "between 0 and 1"),
        (np.zeros((0, 8, 8), np.uint8), "no images"),
    ],
)
def test_what_are_no_images_is_refused(run, images, message):
    with pytest.raises(InputError, match=message):
        ablate.load(run.directory).predict(images)


def test_the_best_weights_are_loaded_where_they_are_the_result(folder, tested):
    best = ablate.train([*SMALL, "result=best", "optimizer.lr=0.3", f"runs_dir={folder / 'best'}"])
    images, labels = tested
    assert (best.predict(images).argmax(1) == labels).mean() == pytest.approx(best.summary["test/acc"])


def test_own_arrays_are_normalised_as_in_the_training(folder, tested):
    digits = load_digits()
    np.savez(
        folder / "digits.npz",
        images=digits.images[:600],
        labels=digits.target[:600],
        test_images=digits.images[600:900],
        test_labels=digits.target[600:900],
    )
    words = ["data=arrays", f"data.root={folder}", "data.images=digits.npz", f"runs_dir={folder / 'own'}"]
    own = ablate.load(ablate.train([*SMALL, *words]).directory)
    found = own.predict(digits.images[600:900]).argmax(1) == digits.target[600:900]
    assert found.mean() == pytest.approx(own.summary["test/acc"])
    assert np.array_equal(own.test_set[0][:, 0], digits.images[600:900].astype(np.float32))
    for is_old in (False, True):
        if is_old:
            without_range(own.directory)
            own = ablate.load(own.directory)
        for odd in (digits.images / 16, digits.images * 16):
            with pytest.warns(UserWarning, match="On another scale"):
                own.predict(odd)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            own.predict(digits.images[600:610])
    with pytest.raises(InputError, match="astype"):
        own.predict(digits.images.astype(np.uint8))


@pytest.mark.parametrize(
    "target",
    ["os.system", "torch.nn.functional.importlib.import_module", "ablate.paths.Path", "torch.load", "subprocess.run"],
)
def test_a_strangers_folder_runs_nothing(run, tmp_path, target):
    theirs = tmp_path / "07c0"
    shutil.copytree(run.directory, theirs)
    config = yaml.safe_load((theirs / "config.yaml").read_text())
    config["norm"] = {"_target_": target, "command": f"touch {tmp_path / 'ran'}"}
    (theirs / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=rf"names {target}, .*trust=True"):
        _ = ablate.load(theirs).network
    assert not (tmp_path / "ran").exists()


def test_what_is_no_run_is_said(run, tmp_path):
    with pytest.raises(InputError, match="no such run"):
        ablate.load(tmp_path / "runs" / "07c0")
    with pytest.raises(InputError, match="there is no run"):
        ablate.load(tmp_path)
    without = tmp_path / "without"
    shutil.copytree(run.directory, without)
    shutil.rmtree(without / "checkpoints")
    with pytest.raises(InputError, match="no checkpoint"):
        _ = ablate.load(without).network


@pytest.fixture(scope="module")
def swept(folder):
    parameters = {"norm": {"values": ["batch", "none"]}, "seed": {"values": [0, 1]}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}))
    words = [*SMALL[:-1], "trainer.max_epochs=1", f"runs_dir={folder / 'swept'}", "hydra/launcher=basic"]
    return words, ablate.sweep(folder / "sweep.yaml", words)


def test_a_sweep_and_its_comparison(swept, folder, tmp_path):
    words, done = swept
    assert list(done.table["status"]) == ["finished"] * 4 and len(done.runs) == 4
    report = ablate.compare(folder / "sweep.yaml", metric="val/acc", overrides=words)
    of_runs = ablate.compare(folder / "swept", metric="val/acc", baseline={"norm": "none"})
    by_hand = {
        norm: np.mean([run.summary["val/acc"] for run in done.runs if run.record.choices["norm"] == norm])
        for norm in ("batch", "none")
    }
    assert list(report.table["label"]) == ["baseline", "norm=none"]
    assert list(report.table["mean"]) == pytest.approx([by_hand["batch"], by_hand["none"]])
    assert list(of_runs.table["mean"]) == pytest.approx([by_hand["none"], by_hand["batch"]])
    assert "<iframe" in report._repr_html_() and "svg" in report._repr_html_()
    assert report.write(tmp_path / "page").read_text().startswith("<!")
    assert set(ablate.compare(folder / "swept", metric="val/acc", overrides=["seed=1"]).table["n"]) == {1}
    with pytest.raises(InputError, match="seed=9: no run has it"):
        ablate.compare(folder / "swept", overrides=["seed=9"])


def test_an_exported_network_gives_the_same_scores(run, tmp_path):
    ablate.export(run, tmp_path / "net.pt2")
    network = ablate.load(run.directory).network
    images = torch.randn(5, 1, 8, 8)
    expected = network(images)
    again = torch.export.load(tmp_path / "net.pt2").module()
    assert torch.allclose(again(images), expected, atol=1e-5) and again(images[:1]).shape == (1, 10)
    with pytest.raises(InputError, match=r"\.onnx or \.pt2"):
        ablate.export(run, tmp_path / "net.h5")
    with pytest.raises(InputError, match="no folder"):
        ablate.export(run, tmp_path / "nowhere" / "net.pt2")


def test_onnx(run, tmp_path):
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    ablate.export(run, tmp_path / "net.onnx")
    images = torch.randn(3, 1, 8, 8)
    [scores] = ReferenceEvaluator(str(tmp_path / "net.onnx")).run(None, {"images": images.numpy()})
    assert np.allclose(scores, ablate.load(run.directory).network(images).detach().numpy(), atol=1e-4)


NOTEBOOK = [
    "import ablate",
    "words = {words}",
    "run = ablate.train(words)\nrun",
    "other = ablate.train([*words, 'norm=none'])\nablate.compare('runs', metric='val/acc')",
    "import numpy as np\nloaded = ablate.load(run.directory)",
    "print(loaded.predict(np.zeros((3, 8, 8), 'uint8')).shape)",
    "print(len(loaded.metrics) > 0, len(loaded.gradient_norms) > 0)",
]


def test_a_notebook(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    cells = [nbformat.v4.new_code_cell(text.replace("{words}", json.dumps(SMALL))) for text in NOTEBOOK]
    notebook = nbformat.v4.new_notebook(cells=cells)
    where = {"metadata": {"path": str(tmp_path)}}
    root = str(Path(ablate.__file__).parents[1])
    cells[0].source = f"import sys; sys.path.insert(0, {root!r})\n" + cells[0].source
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources=where).execute()
    shown = ["".join(str(output) for output in cell.outputs) for cell in notebook.cells]
    assert "test/acc" in shown[2] and "<iframe" in shown[3]
    assert "(3, 10)" in shown[5] and "True True" in shown[6]
