"""data=arrays, a function of the user's and a Lightning data module of the user's. 15 s."""

import logging
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ablate import errors
from ablate.configuration.array_files import layout
from ablate.configuration.bulk import Composer
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.runs import cell
from ablate.runs.origin import Here
from ablate.training import build
from ablate.training.images import memory
from ablate.training.saving.history import read
from ablate.training.saving.stopping import Stopping

DIGITS = load_digits()
BYTES = np.rint(DIGITS.images * (255 / 16)).astype(np.uint8)


@pytest.fixture(autouse=True)
def nothing_said():
    errors._said.clear()
    memory._kept.clear()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """X.npy and y.npy, the first 600 digits, in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", BYTES[:600])
    np.save("y.npy", DIGITS.target[:600])
    return tmp_path


OWN = ("data=arrays", "data.images=X.npy", "data.labels=y.npy", "trainer.max_epochs=1")


@pytest.mark.parametrize(
    ("shape", "lies"),
    [
        ((9, 8, 8), "NHW"),
        ((9, 32, 32, 3), "NHWC"),
        ((9, 3, 32, 32), "NCHW"),
        ((9, 1, 40, 60), "NCHW"),
        ((9, 40, 60, 4), "NHWC"),
        ((9, 4, 4, 3), "NHWC"),
        ((9, 12, 64, 64), "NCHW"),
        ((9, 64, 64, 12), "NHWC"),
    ],
)
def test_where_the_channels_lie(shape, lies):
    assert layout(shape, "auto", "X.npy") == lies


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 8, 8), (9, 3, 3, 3), (9, 20, 30, 40), (9, 1, 2, 3, 4)])
def test_what_does_not_tell_is_refused(shape):
    with pytest.raises(InputError, match=r"X\.npy"):
        layout(shape, "auto", "X.npy")
    if len(shape) == 4:
        assert layout(shape, "NHWC", "X.npy") == "NHWC"


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (BYTES[:, :, :, None].repeat(3, 3), (3, 8, 8)),
        (BYTES[:, None], (1, 8, 8)),
        (DIGITS.images.astype(np.float64), (1, 8, 8)),
    ],
)
def test_every_layout_and_type_reaches_the_network_normalised(prepared, files, images, shape):
    np.save("X.npy", images[:600])
    chosen = prepared(*OWN)
    assert (chosen.cfg.data.channels, chosen.cfg.data.image_size, chosen.cfg.data.num_classes) == (shape[0], 8, 10)
    data = build.images(chosen.cfg)
    data.setup("fit")
    batches = [data.on_after_batch_transfer(batch, 0)[0] for batch in data.train_dataloader()]
    pixels = torch.cat(batches)
    assert pixels.dtype == torch.float32 and pixels.shape[1:] == shape
    # Not exactly: an epoch leaves the last, incomplete batch out.
    assert pixels.mean().item() == pytest.approx(0, abs=0.05)
    assert pixels.std().item() == pytest.approx(1, abs=0.05)


def test_labels_with_a_gap_are_said_to_cost_outputs(prepared, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", BYTES[:200])
    for largest, is_said in ((57, True), (2, False)):
        np.save("y.npy", np.where(np.arange(200) % 2, largest, 0))
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            build.images(prepared("data=arrays", "data.images=X.npy", "data.labels=y.npy").cfg).setup("fit")
        said = [message for message in caplog.messages if "only 2 classes occur" in message]
        assert bool(said) == is_said
        if said:
            assert "y.npy: the largest label is 57, so the network gets 58 outputs" in said[0]
            assert "numpy.unique" in said[0]


def test_the_test_set_is_cut_off_by_class_and_said(prepared, files, caplog):
    chosen = prepared(*OWN)
    with caplog.at_level(logging.WARNING):
        data = build.images(chosen.cfg)
        data.setup("fit")
    [said] = [message for message in caplog.messages if message.startswith("X.npy")]
    assert said == (
        "X.npy: N x H x W, uint8: 480 images of 8x8 pixels and 1 channel to train on, 120 to test on (data."
        "test_fraction=0.2, drawn by data.test_seed=0); labels: 10 classes."
    )
    assert any("validation set has 48 of 480" in message for message in caplog.messages)
    tested = torch.cat([labels for _, labels in data.test_dataloader()]).bincount()
    expected = np.bincount(DIGITS.target[:600]) * 0.2
    assert np.abs(tested.numpy() - expected).max() < 1


def test_one_file_with_all_arrays(prepared, files):
    arrays = {"x_train": BYTES[:300], "y_train": DIGITS.target[:300], "x_test": BYTES[300:400]}
    np.savez("all.npz", **arrays, y_test=DIGITS.target[300:400])
    chosen = prepared("data=arrays", "data.images=all.npz")
    data = build.images(chosen.cfg)
    data.setup("fit")
    batches = list(data.test_dataloader())
    assert torch.equal(torch.cat([images for images, _ in batches])[:, 0], torch.tensor(BYTES[300:400]))
    np.savez("half.npz", **arrays)
    with pytest.raises(InputError, match=r"data\.test_labels is missing"):
        build.images(prepared("data=arrays", "data.images=half.npz").cfg)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: np.save("y.npy", DIGITS.target[:599]), "600 images.*599 labels"),
        (lambda: np.save("X.npy", BYTES[:600].astype(int)), "int64.*uint8"),
        (lambda: np.save("X.npy", np.where(BYTES[:600] > 9, np.nan, 1.0)), "not finite"),
        (lambda: np.save("y.npy", np.array(list("abcdefghij") * 60)), "whole numbers"),
        (lambda: np.save("y.npy", -DIGITS.target[:600]), "The labels are -9 to 0"),
        (lambda: Path("X.npy").write_bytes(b"no array"), "X.npy cannot be read"),
        (lambda: np.save("y.npy", np.array([object()] * 600), allow_pickle=True), "can run code"),
        (lambda: np.save("X.npy", BYTES[:600] * 0), "Channel 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(prepared, files, change, message):
    change()
    with pytest.raises(InputError, match=message):
        data = build.images(prepared(*OWN, "data.num_classes=10").cfg)
        data.setup("fit")


@pytest.mark.parametrize("typed", ["data.images=Z.npy", "data.labels=null", "data.images=notes.txt"])
def test_missing_files_are_named(prepared, files, typed):
    (files / "notes.txt").write_text("")
    key, _, value = typed.partition("=")
    words = [word for word in OWN if not word.startswith(f"{key}=")]
    with pytest.raises(Exception, match=rf"data.{key[5:]}") as caught:
        prepared(*words, typed)
    assert value == "null" or value in str(caught.value)


def test_a_changed_file_is_noticed(prepared, files):
    record, trained = cell.run(prepared(*OWN))
    assert trained and record.provenance["data_files"]["places"] == ["X.npy", "y.npy"]
    assert cell.run(prepared(*OWN)) == (record, False)
    changed = BYTES[:600].copy()
    changed[0, 0, 0] += 1
    np.save("X.npy", changed)
    with pytest.raises(InputError, match=r"outdated.*the data in .* changed .*rerun=true"):
        cell.run(prepared(*OWN))
    then = record.provenance
    assert "changed" in (Here().difference(then, prepared(*OWN).values, ".") or ""), "as a plan asks"
    np.save("X.npy", BYTES[:600])
    assert cell.run(prepared(*OWN)) == (record, False)


def test_a_plan_reads_what_the_files_say_now(files, tmp_path):
    register_resolvers()
    composer = Composer()
    assert composer(["data=arrays", "data.images=X.npy", "data.labels=y.npy"])["data"]["num_classes"] == 10
    np.save("y.npy", DIGITS.target[:600] % 7)
    assert composer(["data=arrays", "data.images=X.npy", "data.labels=y.npy"])["data"]["num_classes"] == 7


# A function of the user's.


@pytest.fixture
def their(tmp_path, monkeypatch):
    """their(text): the module their_data with this source, and its folder of options."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "conf" / "data").mkdir(parents=True)

    def write(source: str, **values: object) -> str:
        sys.modules.pop("their_data", None)
        (tmp_path / "their_data.py").write_text(source)
        lines = ["defaults: [arrays, _self_]", *(f"{key}: {value}" for key, value in values.items())]
        (tmp_path / "conf" / "data" / "theirs.yaml").write_text("\n".join(lines) + "\n")
        memory._kept.clear()
        return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"

    yield write
    sys.modules.pop("their_data", None)


FUNCTION = """
import numpy as np

def load(count, seed, scale=1.0):
    random = np.random.default_rng(0)
    images = random.normal(size=(count, 8, 8)).astype("float32") * scale
    return {"images": images, "labels": (images.mean((1, 2)) > 0).astype(int)}
"""
SIZES = {"channels": 1, "image_size": 8, "num_classes": 2}


def test_a_function_that_returns_arrays(prepared, their):
    path = their(FUNCTION, _target_="their_data.load", count=400, **SIZES)
    words = ("data=theirs", path, "trainer.max_epochs=1")
    record, trained = cell.run(prepared(*words))
    assert trained and record.status == "finished"
    assert cell.run(prepared(*words)) == (record, False)
    assert prepared(*words, "data.count=300").fingerprint != record.fingerprint
    with pytest.raises(InputError, match=r"data.cuont=3.*Did you mean count"):
        prepared(*words, "+data.cuont=3")
    their(FUNCTION.replace("> 0", "> 0.01"), _target_="their_data.load", count=400, **SIZES)
    with pytest.raises(InputError, match=r"their_data\.py changed; the data.* changed"):
        cell.run(prepared(*words))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("3", "int"),
        ("(1, 2, 3)", "their_data.load returned 3 values: return"),
        ("{'pictures': 3}", "pictures"),
        ("{'images': [[1]]}", "no labels"),
        ("1 / 0", r"their_data\.load failed: ZeroDivisionError: division by zero \(.*their_data\.py, line 2, in load"),
        ("[np.ones((2, 2)), np.ones((3, 3))], [0, 1]", "array images cannot be converted to a NumPy array"),
        ("np.ones((0, 8, 8)), np.ones(0)", "array images is empty"),
        ("np.ones((4, 8, 8), int), np.arange(4)", r"images are uint8.* These are 1 to 1: .*astype\('uint8'\)"),
        ("np.arange(256.).reshape(4, 8, 8), np.arange(4)[:3]", "has 4 images, .* 3 labels"),
        ("noise(100), np.arange(100) % 2 + 1", "The labels are 1 to 2, where .*: subtract 1 from each"),
        ("noise(100), np.arange(100) % 2 - 1", "The labels are -1 to 0, where .*: add 1 to each"),
        ("noise(100), np.arange(100.) % 2", r"1 target for each image.*num_classes=1\. If they are classes, give N"),
        ("noise(100), np.ones((100, 3)) / 2", r"3 targets for each image.*Use data\.num_classes=3\.$"),
    ],
)
def test_what_a_function_must_return(prepared, their, returned, message):
    start = "import numpy as np; noise = lambda n: np.random.default_rng(0).random((n, 8, 8))\n"
    path = their(f"{start}def load(): return {returned}", _target_="their_data.load", **SIZES)
    with pytest.raises(InputError, match=message):
        data = build.images(prepared("data=theirs", path).cfg)
        data.setup("fit")


def test_what_the_file_of_a_function_lacks_is_named(prepared, their):
    with pytest.raises(InputError, match=r"data\.count is missing: their_data\.load takes it"):
        prepared("data=theirs", their(FUNCTION, _target_="their_data.load", scale=2.0, **SIZES))
    with pytest.raises(InputError, match=r"data\.image_size is not known.*file of your own must say channels"):
        prepared("data=theirs", their(FUNCTION, _target_="their_data.load", count=3))
    path = their(FUNCTION, _target_="their_data.load", count=3, **SIZES)
    with pytest.raises(InputError, match=r"data\.root is missing: start your data's file with `defaults: \[arr"):
        prepared("data=theirs", path, "~data.root")


def test_data_that_a_function_no_longer_finds_are_not_here(prepared, their, tmp_path):
    """They may lie on another machine: their results stand."""
    (tmp_path / "x.npy").touch()
    source = f"{FUNCTION}\nplain = load\ndef load(count, seed):\n    open({str(tmp_path / 'x.npy')!r})\n"
    words = (
        "data=theirs",
        their(f"{source}    return plain(count, seed)", _target_="their_data.load", count=400, **SIZES),
    )
    record, _ = cell.run(prepared(*words, "trainer.max_epochs=1"))
    (tmp_path / "x.npy").unlink()
    memory._kept.clear()
    assert cell.run(prepared(*words, "trainer.max_epochs=1")) == (record, False)


# A Lightning data module of the user's.


class Noisy(Dataset):
    """Digits, with noise of torch's, NumPy's and Python's global generators."""

    def __len__(self) -> int:
        return 200

    def __getitem__(self, n: int):  # type: ignore[no-untyped-def]
        image = torch.tensor(BYTES[n], dtype=torch.float32)[None] / 128
        return image + torch.rand(()) + np.random.rand() + random.random(), int(DIGITS.target[n])


class Theirs(pl.LightningDataModule):
    version = "1"

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str | None = None) -> None:
        images = torch.tensor(BYTES[200:300], dtype=torch.float32)[:, None] / 128
        self.held_out = TensorDataset(images, torch.tensor(DIGITS.target[200:300]))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(Noisy(), self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.held_out, 50)

    test_dataloader = val_dataloader


class Known(Theirs):
    def checksum(self) -> str:
        return self.version


@pytest.fixture
def module(tmp_path):
    """module("Known", …): the overrides of a small cell on the data module of that name."""
    (tmp_path / "conf" / "data").mkdir(parents=True)

    def words(name: str, *more: str) -> tuple[str, ...]:
        lines = [f"_target_: {__name__}.{name}", "batch_size: 20", "seed: ${seed}"]
        lines += ["channels: 1", "image_size: 8", "num_classes: 10"]
        (tmp_path / "conf" / "data" / "modules.yaml").write_text("\n".join(lines))
        path = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
        return ("data=modules", path, "data.batch_size=20", "trainer.max_epochs=2", *more)

    return words


def seen(chosen: cell.Cell) -> list[torch.Tensor]:
    """The images of the first two epochs."""
    data = build.images(chosen.cfg)
    data.setup("fit")
    loader, batches = data.train_dataloader(), []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        for images, _ in loader:
            torch.rand(3)  # a network's dropout
            batches.append(images)
    return batches


def test_two_designs_see_the_same_batches_of_any_loader(prepared, module):
    first, again = seen(prepared(*module("Known"))), seen(prepared(*module("Known"), "norm=none"))
    other = seen(prepared(*module("Known"), "seed=1"))
    assert len(first) == 20 and all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[0], first[10])


@pytest.mark.parametrize("stop_at", [4, 10])
def test_a_run_on_any_loader_resumes_with_equal_numbers(prepared, module, monkeypatch, stop_at):
    words = module("Known", "gradient_norms.every_n_steps=0")
    whole = cell.run(prepared(*words, runs="whole"))[0]

    def stopped(self, trainer):  # type: ignore[no-untyped-def]
        return signal.SIGTERM if trainer.global_step == stop_at else None

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Stopping, "asked", stopped)
        cell.run(prepared(*words))
    chosen = prepared(*words)
    record, _ = cell.run(chosen)
    assert record.resumed and record.summary == whole.summary
    tables = [
        read(folder / "metrics.parquet").to_pylist()
        for folder in (chosen.directory, prepared(*words, runs="whole").directory)
    ]
    assert sorted(map(str, tables[0])) == sorted(map(str, tables[1]))


def test_a_checksum_tells_whether_the_data_changed(prepared, module, monkeypatch, caplog):
    words = module("Known")
    record, _ = cell.run(prepared(*words))
    assert cell.run(prepared(*words)) == (record, False)
    with monkeypatch.context() as patch:
        patch.setattr(Known, "version", "2")
        with pytest.raises(InputError, match=r"the data.* changed"):
            cell.run(prepared(*words))
    with caplog.at_level(logging.WARNING):
        cell.run(prepared(*module("Theirs")))
    assert any("Theirs has no checksum()" in message for message in caplog.messages)
    assert cell.run(prepared(*module("Theirs")))[1] is False


def test_a_data_module_takes_its_own_keys_only(prepared, module):
    with pytest.raises(InputError, match=r"data.shift=3.*does not take it.*batch_size"):
        prepared(*module("Known"), "+data.shift=3")
