"""Runs that other programs' trackers keep."""

import pytest

from ablate.comparison.elsewhere import sources
from ablate.comparison.elsewhere.source import Asked
from ablate.errors import InputError


def test_offline_files_cannot_be_read_and_it_is_said_what_to_do():
    with pytest.raises(
        InputError, match=r"no public way to read its offline files. Upload it, `wandb sync a/offline-run`"
    ):
        sources.read(["a/offline-run/run-1.wandb"], Asked(metric="acc"))


NETS = [(net, lr, seed) for net in ("mlp", "cnn") for lr in (0.1, 0.01) for seed in (0, 1)]


def accuracy(net, lr, seed):
    return 0.8 + 0.05 * (net == "cnn") + lr / 10 + 0.01 * seed


def check(found):
    assert {key: sorted({run.value(key) for run in found.results}) for key in ("net", "lr")} == {
        "net": ["cnn", "mlp"],
        "lr": [0.01, 0.1],
    }
    assert sorted(run.seed for run in found.results) == [0] * 4 + [1] * 4 and not found.is_paired
    for run in found.results:
        expected = accuracy(run.value("net"), run.value("lr"), run.seed)
        assert run.record.summary["val_acc"] == pytest.approx(expected, abs=1e-6)
        assert run.points("val_acc")[:, 0].tolist() == [0, 1] and run.record.status == "finished"


def test_runs_of_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(str(tmp_path / "store"))
    experiment = client.create_experiment("nets")
    for net, lr, seed in NETS:
        run = client.create_run(experiment).info.run_id
        for key, value in {"net": net, "lr": lr, "seed": seed, "depth": 3}.items():
            client.log_param(run, key, value)
        for step in (0, 1):
            client.log_metric(run, "val_acc", accuracy(net, lr, seed) * (step + 1) / 2, step=step)
        client.set_terminated(run)
    check(sources.read([f"mlflow:{tmp_path / 'store'}"], Asked(metric="val_acc")))


def test_runs_of_tensorboard(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for net, lr, seed in NETS:
        with SummaryWriter(str(tmp_path / f"net={net}" / f"lr={lr},seed={seed}")) as writer:
            writer.add_hparams({"net": net, "lr": lr, "depth": 3}, {"hparam/best": 1.0}, run_name="hp")
            for step in (0, 1):
                writer.add_scalar("val_acc", accuracy(net, lr, seed) * (step + 1) / 2, step)
    check(sources.read([f"tensorboard:{tmp_path}"], Asked(metric="val_acc")))
