"""tracking=online without a login: said once, before anything is trained, and no failure of a cell."""

from types import SimpleNamespace

import pytest
import wandb
from wandb.errors import CommError

from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.runs import cell, record
from ablate.sweep import execution
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import PlannedCell
from ablate.training import tracking

SWEEP = """
method: grid
parameters:
  seed: {values: [0, 1]}
  trainer: {value: cpu}
  model.stages: {value: [1, 1, 1]}
"""


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    """Nobody has ever logged in to W&B here, and no terminal is there to ask at."""
    register_resolvers()
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SWEEP_ID", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    wandb.teardown()


def planned(tmp_path, *typed):  # type: ignore[no-untyped-def]
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    request = execution.Request.of([f"runs_dir={tmp_path / 'runs'}", *typed])
    return execution.planned(SweepFile.read(tmp_path / "sweep.yaml"), request, check_data=False), request


@pytest.mark.parametrize(("typed", "mode"), [(["tracking=online"], None), ([], "online")])
def test_a_sweep_asks_before_its_first_cell(tmp_path, monkeypatch, typed, mode):
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    cells, request = planned(tmp_path, *typed)
    with pytest.raises(InputError, match=r"^W&B: No API key configured.* Or set tracking=offline\.$"):
        execution.sweep(cells, request, SimpleNamespace())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("typed", "mode"), [(["tracking=offline"], "online"), (["tracking=disabled"], None), ([], None)]
)
def test_a_sweep_that_sends_nothing_does_not_ask(tmp_path, monkeypatch, typed, mode):
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    cells, request = planned(tmp_path, *typed)
    monkeypatch.setattr(tracking, "check_login", lambda: pytest.fail("asked"))
    ran: list[PlannedCell] = []
    monkeypatch.setattr(execution, "_in_pool", lambda cells, *_: ran.extend(cells))
    execution.sweep(cells, request, SimpleNamespace())
    assert ran == cells


def test_a_run_without_a_login_leaves_nothing(prepared, tmp_path):
    with pytest.raises(InputError, match=r"^W&B: No API key configured.* Or set tracking=offline\.$"):
        cell.run(prepared("tracking=online"))
    assert not (tmp_path / "runs").exists()


def test_a_server_that_refuses_the_run_is_no_failure_of_it(prepared, monkeypatch):
    small = prepared("tracking=online")
    monkeypatch.setattr(tracking, "check_login", lambda: None)

    def refuse(**_):  # type: ignore[no-untyped-def]
        raise CommError("permission denied")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(InputError, match=r"^W&B: permission denied Or set tracking=offline\.$"):
        cell.run(small)
    stored = record.read(small.directory)
    assert stored is not None and stored.status == "interrupted" and "permission denied" in stored.reason
