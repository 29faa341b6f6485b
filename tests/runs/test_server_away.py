"""tracking=online where the server is away: nothing hangs, nothing is lost, and one message says what to do."""

import logging
import signal

import pytest
import wandb
from omegaconf import OmegaConf
from wandb.errors import AuthenticationError

from ablate.errors import InputError
from ablate.process.interrupt import Interrupted
from ablate.runs import cell, record
from ablate.training import tracking
from tests.runs.test_offline_sync import Receiver, rows, steps
from tests.runs.test_resume import signalled_at


def test_an_online_run_waits_for_its_server_or_goes_on_offline(prepared, monkeypatch):
    chosen = prepared("tracking=offline", "trainer.max_epochs=2", "trainer.log_every_n_steps=1")
    signalled_at(monkeypatch, 12, signal.SIGTERM)
    with pytest.raises(Interrupted):
        cell.run(chosen)
    before = record.read(chosen.directory)

    def away(**_):  # type: ignore[no-untyped-def]
        raise AuthenticationError("Failed to authenticate with http://127.0.0.1:9: it did not respond in time.")

    monkeypatch.setattr(wandb, "login", away)
    with pytest.raises(InputError, match=r"^W&B: Failed to authenticate with .* Or set tracking=offline\.$"):
        cell.run(prepared("tracking=online", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"))
    assert record.read(chosen.directory) == before and list((chosen.directory / "checkpoints").glob("step-*.ckpt"))
    monkeypatch.undo()  # the signal comes once
    done, _ = cell.run(chosen)
    tracking.close()
    assert done.status == "finished" and done.wandb.id == before.wandb.id
    assert steps(rows(chosen.directory)) == list(range(20))


@pytest.mark.skipif("finish_timeout" not in wandb.Settings.model_fields, reason="this version waits for ever")
def test_a_server_that_goes_away_does_not_hold_up_the_end(monkeypatch, tmp_path, caplog):
    wandb.teardown()
    for name in ("WANDB_MODE", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "1")
    own = OmegaConf.create({"project": "p", "entity": "e", "job_type": "train"})
    server = Receiver()
    with server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        opened = tracking.wandb_run(
            own, directory=tmp_path, mode="online", run_id="abc", name="n", group="g", tags=["t"], config={"a": 1}
        )
        run = opened.__enter__()
        run.log({"x": 1})
    with caplog.at_level(logging.WARNING):
        opened.__exit__(None, None, None)
    wandb.teardown()
    (folder,) = tmp_path.glob("wandb/run-*-abc")
    assert f"wandb sync --include-online {folder}" in caplog.text
    assert list(folder.glob("*.wandb"))
