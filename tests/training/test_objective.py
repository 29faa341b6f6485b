"""Loss, metrics, monitor and the Lightning module: what is minimised, measured and gone by. 25 s."""

import math

import numpy as np
import pyarrow.compute as pc
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchvision.ops import sigmoid_focal_loss

from ablate.comparison.gathering import from_results
from ablate.comparison.results import find
from ablate.errors import InputError
from ablate.runs import cell
from ablate.runs.record import read as read_record
from ablate.training.objective import metrics
from ablate.training.objective.losses import Focal
from ablate.training.saving.checkpoints import checkpoints
from ablate.training.saving.history import read

PIXELS = load_digits().images.astype(np.float32)
LONGER = ("optimizer=adam", "optimizer.lr=0.01", "trainer.max_epochs=15")
FEW = ("trainer.max_epochs=2", "gradient_norms.every_n_steps=0")


@pytest.fixture
def on(prepared, tmp_path):
    """on(labels, …): a small cell on 600 digits with these labels."""

    def chosen(labels: np.ndarray, *more: str) -> cell.Cell:
        np.save(tmp_path / "X.npy", PIXELS[:600])
        np.save(tmp_path / "y.npy", labels[:600])
        files = ("data=arrays", f"data.root={tmp_path}", "data.images=X.npy", "data.labels=y.npy")
        few = () if "trainer.max_epochs=15" in more else FEW
        return prepared(*files, *few, "data.batch_size=64", *more)

    return chosen


INK = PIXELS.mean((1, 2)) / 8  # the share of a picture that is ink: a number to be predicted
DARK = np.stack([PIXELS[:, :4].mean((1, 2)) > 4.5, PIXELS[:, :, :4].mean((1, 2)) > 4.5], 1).astype(np.int64)


def series(chosen: cell.Cell, name: str) -> list[float]:
    table = read(chosen.directory / "metrics.parquet")
    return table.filter(pc.equal(table["name"].cast("string"), name))["value"].to_pylist()


def saved(chosen: cell.Cell) -> dict:
    return torch.load(checkpoints(chosen.directory / "checkpoints")[-1], weights_only=True)


def test_focal_loss():
    scores, labels = torch.randn(50, 2), torch.randint(2, (50,))
    assert torch.allclose(Focal(0.0)(scores, labels), F.cross_entropy(scores, labels))
    # With two classes, softmax is the sigmoid of the difference.
    one = sigmoid_focal_loss(scores[:, 1] - scores[:, 0], labels.float(), alpha=-1, gamma=2.0, reduction="mean")
    assert torch.allclose(Focal(2.0)(scores, labels), one)
    sure = torch.tensor([[200.0, 0.0]]).requires_grad_()
    Focal(0.5)(sure, torch.tensor([0])).backward()
    assert sure.grad.isfinite().all()


def test_regression(on):
    chosen = on(INK, "loss=mse", "result=best", *LONGER)
    record, _ = cell.run(chosen)
    assert chosen.cfg.data.num_classes == 1 and record.status == "finished"
    assert {"train/mae", "val/mae", "test/mae", "test/loss"} <= set(record.summary)
    assert not any("acc" in name for name in record.summary)
    losses = series(chosen, "val/loss")
    assert losses[-1] < np.var(INK[:480]), "better than the mean"
    assert saved(chosen)["callbacks"]["Checkpoints"]["best_acc"] == pytest.approx(-min(losses)), (
        "of the loss, the least"
    )
    comparison = from_results(find([chosen.directory]), "runs")
    assert (comparison.metric, comparison.goal) == ("test/loss", "minimize")


def test_several_labels_an_image(on):
    record, _ = cell.run(on(DARK, "loss=bce", "monitor=val/f1", "result=best", *LONGER))
    assert record.summary["test/acc"] > 0.75 and 0 < record.summary["test/f1"] <= 1


@pytest.mark.parametrize(
    ("labels", "typed", "message"),
    [
        (INK, [], "loss=cross_entropy needs a class for each image"),
        (DARK[:, 0], ["loss=mse"], "loss=mse needs N x 2 targets"),
        (DARK, ["loss=focal"], "loss=focal needs a class.*N x 2 of type float32"),
        (INK, ["loss=mse", "metrics=accuracy"], "metrics=accuracy needs a class"),
        (DARK[:, 0], ["loss._target_=torch.nn.NLLLoss", "+loss.reduction=none"], "loss is not one number"),
        (
            DARK[:, 0],
            ["+metrics.f1={_target_: torchmetrics.classification.MulticlassF1Score, average: none}"],
            "f1.*one",
        ),
    ],
)
def test_a_loss_that_does_not_fit_the_labels_is_refused(on, labels, typed, message):
    chosen = on(labels, *typed)
    with pytest.raises(InputError, match=message):
        cell.run(chosen)
    assert not chosen.directory.exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["loss=focal", "label_smoothing=0.1"], "label_smoothing=0.1.*Focal does not take it"),
        (["loss=focal", "loss.gamma=-1"], "gamma"),
        (["loss._target_=torch.nn.CrossEntropy"], "loss._target_=torch.nn.CrossEntropy"),
        (["+metrics.f1={_target_: torch.nn.ReLU}"], r"metrics\.f1: torch.nn.ReLU is no metric"),
        (["+metrics.f1=3"], r"metrics\.f1=3"),
        (["result=best", "monitor=test/acc"], "monitor=test/acc: a metric of the validation"),
        (["result=best", "monitor=val/mine"], "monitor=val/mine: is more of it better.*monitor_goal"),
        (["module._target_=torch.nn.Identity"], "LightningModule is expected"),
        ([f"module._target_={__name__}.Untested"], r"module: .*Untested has no test_step, which logs what"),
        (["loss=mes"], "mse"),
    ],
)
def test_what_is_none_is_refused(prepared, typed, message):
    with pytest.raises(Exception, match=message):
        chosen = prepared(*typed)
        cell.run(chosen)


def doubled(scores: Tensor, labels: Tensor, by: float = 2.0) -> Tensor:
    return by * F.cross_entropy(scores, labels)


def test_a_loss_may_be_a_function_of_scores_and_labels(prepared):
    usual, twice, half = (
        cell.run(prepared(*words, *FEW, "optimizer.lr=0"))[0].summary
        for words in ((), (f"loss._target_={__name__}.doubled",), (f"loss._target_={__name__}.doubled", "+loss.by=0.5"))
    )
    assert twice["test/loss"] == pytest.approx(2 * usual["test/loss"])
    assert half["test/loss"] == pytest.approx(usual["test/loss"] / 2)


def test_a_metric_of_torchmetrics_is_measured(prepared):
    f1 = "{_target_: torchmetrics.classification.MulticlassF1Score, average: micro}"
    record, _ = cell.run(prepared(f"+metrics.f1={f1}", *FEW))
    for split in ("train", "val", "test"):  # with one label an image, micro F1 is the accuracy
        assert record.summary[f"{split}/f1"] == pytest.approx(record.summary[f"{split}/acc"])


class Missed(MulticlassAccuracy):
    """The share that is wrong: less of it is better."""

    higher_is_better = False

    def compute(self) -> Tensor:
        return 1 - super().compute()


def test_which_way_of_a_metric_is_up_is_on_record_and_a_report_goes_by_it(prepared):
    missed = f"{{_target_: {__name__}.Missed, average: micro}}"
    words = (f"+metrics.missed={missed}", "+metrics.top={_target_: torchmetrics.classification.MulticlassPrecision}")
    chosen = prepared(*words, *FEW)
    record, _ = cell.run(chosen)
    splits = ("train", "val", "test")
    assert record.goals == {
        **{f"{split}/missed": "minimize" for split in splits},
        **{f"{split}/top": "maximize" for split in splits},
    }
    assert read_record(chosen.directory).goals == record.goals
    for metric, goal in (("test/missed", "minimize"), ("test/top", "maximize")):
        assert from_results(find([chosen.directory]), "runs", metric).goal == goal
    assert from_results(find([chosen.directory]), "runs", "test/missed", goal="maximize").goal == "maximize"
    assert cell.run(prepared(*FEW))[0].goals is None, "of what everybody has, everybody knows it"


def early(monitor: str, mode: str) -> str:
    stop = "_target_: pytorch_lightning.callbacks.EarlyStopping, patience: 1, min_delta: 1.0"
    return f"+trainer.callbacks=[{{{stop}, monitor: {monitor}, mode: {mode}}}]"


def test_an_early_stop_goes_by_a_metric_of_the_users(prepared, caplog):
    """It asks for a gain of a whole 1, which there is not: the second validation without one ends the training."""
    f1 = "+metrics.f1={_target_: torchmetrics.classification.MulticlassF1Score}"
    chosen = prepared(f1, "monitor=val/f1", early("${monitor}", "max"), "trainer.max_epochs=6")
    assert cell.run(chosen)[0].status == "finished" and len(series(chosen, "val/f1")) == 2
    with pytest.raises(InputError, match=r"EarlyStopping: monitor=\$\{monitor\} is the run's monitor, which is auto"):
        prepared(early("${monitor}", "max"))
    prepared(early("val/acc", "min"))
    assert "EarlyStopping: monitor=val/acc mode=min: of this more is better. You may want mode=max." in caplog.text


def test_a_plateau_goes_by_the_monitor(prepared):
    chosen = prepared("schedule=reduce_on_plateau", "monitor=val/acc", *FEW)
    cell.run(chosen)
    [state] = saved(chosen)["lr_schedulers"]
    assert state["mode"] == "max" and state["best"] == pytest.approx(max(series(chosen, "val/acc")))
    assert chosen.fingerprint != prepared("schedule=reduce_on_plateau", *FEW).fingerprint
    assert prepared("schedule=reduce_on_plateau", "monitor=auto").fingerprint == (
        prepared("schedule=reduce_on_plateau").fingerprint
    )


class Mixed(pl.LightningModule):
    """A module as anybody writes one: its own loss, optimizer and metrics."""

    def __init__(self, network: nn.Module, num_classes: int, alpha: float) -> None:
        super().__init__()
        self.network, self.alpha = network, alpha
        self.f1 = MulticlassF1Score(num_classes, average="micro")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self.network(images * self.alpha), labels)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measured("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measured("test", batch)

    def _measured(self, split: str, batch: tuple[Tensor, Tensor]) -> None:
        self.f1(self.network(batch[0]), batch[1])
        self.log(f"{split}/mine", self.f1, on_step=False, on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Untested(Mixed):
    test_step = pl.LightningModule.test_step

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__(network, num_classes, 1.0)


MIXED = (f"module._target_={__name__}.Mixed", "+module.alpha=1.0")


def test_a_module_of_the_users(prepared):
    best = ("result=best", "monitor=val/mine", "monitor_goal=maximize", "trainer.max_epochs=6")
    chosen = prepared(*MIXED, *best, "gradient_norms.every_n_steps=1")
    record, _ = cell.run(chosen)
    assert record.status == "finished" and record.summary["test/mine"] > 0.2
    assert "test/acc" not in record.summary
    assert len(series(chosen, "train/loss_step")) == 60 and len(series(chosen, "val/mine")) == 6
    assert saved(chosen)["callbacks"]["Checkpoints"]["best_acc"] == pytest.approx(max(series(chosen, "val/mine")))
    assert read(chosen.directory / "gradient_norms.parquet").num_rows > 0
    comparison = from_results(find([chosen.directory]), "runs", "test/mine")  # as monitor_goal says
    assert comparison.baseline.estimate.mean == pytest.approx(record.summary["test/mine"])


def test_a_metric_that_is_not_measured_cannot_be_gone_by(prepared):
    with pytest.raises(
        InputError, match=r"monitor=val/acc: the validation does not measure it\. It measures .*val/mine"
    ):
        cell.run(prepared(*MIXED, "result=best", "monitor=val/acc", *FEW))


@pytest.mark.parametrize("top_k", [1, 5])
@pytest.mark.parametrize("equal", [False, True], ids=["scores", "equal scores"])
def test_the_accuracy_is_torchmetrics(top_k, equal):
    theirs = MulticlassAccuracy(10, top_k=top_k, average="micro", validate_args=False)
    ours = metrics.accuracy(10, top_k)
    draw = torch.Generator().manual_seed(0)
    for images in (32, 32, 7):  # the last batch is a smaller one
        scores, labels = torch.randn(images, 10, generator=draw), torch.randint(10, (images,), generator=draw)
        scores = scores.round() if equal else scores
        theirs.update(scores, labels)
        ours.update(scores, labels)
    assert ours.compute() == theirs.compute()
    # What checkpoints hold, of which an older one may have been written by theirs.
    assert (ours.tp.sum(), ours.fn.sum()) == (theirs.tp.sum(), theirs.fn.sum())
    assert (ours.tp.shape, ours.fn.shape) == (theirs.tp.shape, theirs.fn.shape)


def test_the_mean_loss_is_torchmetrics_to_the_last_digit():
    theirs, ours = MeanMetric(nan_strategy="disable"), metrics.MeanLoss()
    draw = torch.Generator().manual_seed(0)
    for images in (1, 3, 32, 33, 128, 100):
        loss = 3 * torch.rand((), generator=draw)
        theirs.update(loss.expand(images))
        ours.update(loss, images)
        assert ours.compute() == theirs.compute()
    assert {name: float(value) for name, value in ours.metric_state.items()} == theirs.metric_state  # in checkpoints
    ours.update(torch.tensor(math.nan), 32)
    assert ours.compute().isnan()
