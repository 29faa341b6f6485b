"""Whether W&B hears of a run: what was typed, else the environment, else an agent, else the default."""

import pytest

from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.runs import cell


@pytest.mark.parametrize(
    ("typed", "environment", "mode"),
    [
        (["tracking=disabled"], {"WANDB_MODE": "online"}, "disabled"),
        (["tracking.mode=offline"], {"WANDB_SWEEP_ID": "s"}, "offline"),
        # What else is said of tracking does not take an agent's run off the server.
        (["tracking.tags=[a]"], {"WANDB_SWEEP_ID": "s"}, "online"),
        (["tracking.name=a", "tracking.report_stored=false"], {"WANDB_MODE": "disabled"}, "disabled"),
        (["tracking.tags=[a]"], {}, "offline"),
    ],
)
def test_only_the_mode_and_its_option_choose_the_mode(monkeypatch, typed, environment, mode):
    register_resolvers()
    for name in ("WANDB_MODE", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cell.prepare(Composition.of(["trainer=cpu", *typed])).tracking_mode == mode
