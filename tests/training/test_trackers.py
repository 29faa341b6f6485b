"""tracking=tensorboard, csv and mlflow, a logger and watchers of the user's: the same series as W&B. 20 s."""

import csv
import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.runs import cell
from ablate.training.saving import trackers
from ablate.training.saving.history import read
from ablate.training.saving.stopping import Stopping

SERIES = {"train/loss_step", "lr", "train/loss", "train/acc", "val/loss", "val/acc", "test/loss", "test/acc"}
FEW = ("trainer.max_epochs=2", "trainer.log_every_n_steps=5", "gradient_norms.pictures=true")


def recorded(chosen: cell.Cell, name: str) -> dict[int, float]:
    """A metric of metrics.parquet by step."""
    rows = read(chosen.directory / "metrics.parquet").to_pylist()
    return {row["step"]: row["value"] for row in rows if row["name"] == name}


def test_tensorboard_has_every_series_once_after_a_resume(prepared, monkeypatch):
    words = ("tracking=tensorboard", *FEW)

    def stopped(self, trainer):  # type: ignore[no-untyped-def]
        return signal.SIGTERM if trainer.global_step == 13 else None

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Stopping, "asked", stopped)
        cell.run(prepared(*words))
    chosen = prepared(*words)
    cell.run(chosen)
    events = EventAccumulator(str(chosen.directory / "tensorboard"), size_guidance={"images": 0}).Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= SERIES and any(tag.startswith("grad_norm/") for tag in tags["scalars"])
    assert {f"gradient_flow/{name}" for name in ("heat_map", "rms_by_step")} <= set(tags["images"])
    shown = {event.step: event.value for event in events.Scalars("train/loss_step")}
    losses = recorded(chosen, "train/loss_step")
    assert len(events.Scalars("train/loss_step")) == len(shown)
    assert shown == pytest.approx({step: losses[step] for step in (0, 5, 10, 15)})


def test_csv(prepared):
    chosen = prepared("tracking=csv", *FEW)
    cell.run(chosen)
    rows = list(csv.DictReader((chosen.directory / "csv" / "from_step_0" / "metrics.csv").open()))
    assert set(rows[0]) >= SERIES
    losses = recorded(chosen, "train/loss_step")
    shown = {int(row["step"]): float(row["train/loss_step"]) for row in rows if row["train/loss_step"]}
    assert shown == pytest.approx({step: losses[step] for step in (0, 5, 10, 15)})


def test_mlflow(prepared, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'store'}")  # the default takes SQLite
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    chosen = prepared("tracking=mlflow", *FEW)
    cell.run(chosen)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"file:{tmp_path / 'store'}")
    [experiment] = [e for e in client.search_experiments() if e.name == "ablate"]
    [run] = client.search_runs([experiment.experiment_id])
    assert set(run.data.metrics) >= SERIES and run.info.status == "FINISHED"
    losses = recorded(chosen, "train/loss_step")
    shown = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "train/loss_step")}
    assert shown == pytest.approx({step: losses[step] for step in (0, 5, 10, 15)})
    assert len(client.list_artifacts(run.info.run_id, "gradient_flow")) == 2


class Kept(Logger):
    """A logger as anybody writes one."""

    rows: list[tuple[dict, int]] = []  # noqa: RUF012
    name, version = "kept", "0"

    def log_metrics(self, metrics: dict, step: int | None = None) -> None:
        self.rows.append((dict(metrics), step))

    def log_hyperparams(self, params: dict) -> None:
        assert params["seed"] == 0

    @property
    def experiment(self) -> None:
        return None


def test_a_logger_of_the_users(prepared):
    Kept.rows.clear()
    chosen = prepared(f"+trainer.logger={{_target_: {__name__}.Kept}}", *FEW)
    cell.run(chosen)
    names = {name for row, _ in Kept.rows for name in row}
    assert names >= SERIES and any(name.startswith("grad_norm/") for name in names)
    losses = recorded(chosen, "train/loss_step")
    shown = {step: row["train/loss_step"] for row, step in Kept.rows if "train/loss_step" in row}
    assert shown == pytest.approx({step: losses[step] for step in (0, 5, 10, 15)})


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("tracking.logger={_target_: torch.nn.ReLU}", "not a Lightning logger"),
        ("tracking.logger=csv", "tracking.logger=csv"),
        ("watchers=[{_target_: torch.nn.ReLU}]", "not a Lightning Callback"),
        ("watchers=[{_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val/loss}]", "must not do"),
        ("watchers=[EarlyStopping]", "watchers=.*_target_"),
    ],
)
def test_what_is_none_is_refused(prepared, typed, message):
    with pytest.raises(InputError, match=message):
        prepared(typed)


def test_a_package_that_is_missing_is_named(compose_cfg, monkeypatch):
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr("lightning_fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(InputError, match=r"tracking\.logger.*tensorboard"):
        trackers.check(compose_cfg("tracking=tensorboard"))


class Counts(pl.Callback):
    """Looks on."""

    seen: list[int] = []  # noqa: RUF012

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append(trainer.current_epoch)


def test_a_watcher_does_not_train_again_what_is_finished(prepared, tmp_path):
    def keeper(folder: str) -> str:
        kind = "pytorch_lightning.callbacks.ModelCheckpoint"
        return f"{{_target_: {kind}, dirpath: {tmp_path / folder}, monitor: val/acc, mode: max}}"

    Counts.seen.clear()
    record, trained = cell.run(prepared(f"watchers=[{keeper('one')},{{_target_: {__name__}.Counts}}]", FEW[0]))
    assert trained and Counts.seen == [0, 1] and len(list((tmp_path / "one").glob("*.ckpt"))) == 1
    assert cell.run(prepared(FEW[0])) == (record, False), "with none"
    assert cell.run(prepared(f"watchers=[{keeper('two')}]", FEW[0])) == (record, False), "with a new folder"
    _, again = cell.run(prepared(f"+trainer.callbacks=[{{_target_: {__name__}.Counts}}]", FEW[0]))
    assert again, "any other callback may change the result"
    assert not Path(tmp_path / "two").exists()
