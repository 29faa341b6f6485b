"""How long a run has trained, and what ends it before it is over."""

import time
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import Timer

from ablate.process.interrupt import Interrupted, LostError, OutOfTimeError, StopRequest
from ablate.training.objective.named import Monitor
from ablate.training.saving.best import BestWeights
from ablate.training.saving.checkpoints import Checkpoints
from ablate.training.saving.staging import Staging
from ablate.training.saving.stopping import TIME_IS_OVER, Stopping, stop

ALONE = SimpleNamespace(world_size=1, global_step=3, current_epoch=0, max_epochs=2, is_global_zero=True)


def checkpoints(folder, timer, best=None):
    return Checkpoints(
        folder,
        every_n_epochs=1,
        every_n_steps=None,
        timer=timer,
        stopping=Stopping(StopRequest(), timer),
        best=best,
        staging=Staging(folder),
        data="",
        before_save=lambda trainer: None,
        rows=dict,
        has_ended=lambda: False,
    )


@pytest.fixture
def clock(monkeypatch):
    """What time.monotonic says: a test sets `now`."""
    state = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: state.now)
    return state


def test_the_time_before_an_interruption_counts_for_the_result_and_not_for_the_limit(tmp_path, clock):
    first = Timer()
    first.on_train_start(None, None)
    clock.now += 40
    saved = checkpoints(tmp_path, first).state_dict()
    clock.now += 10_000  # nothing is trained
    timer = Timer()
    checkpoints(tmp_path, timer).load_state_dict(saved)
    limited = Stopping(StopRequest(), timer, max_seconds=30)
    timer.on_train_start(None, None)
    clock.now += 29
    assert timer.time_elapsed() == 69 and limited.asked(ALONE) is None
    clock.now += 1
    assert timer.time_elapsed() == 70 and limited.asked(ALONE) == TIME_IS_OVER
    timer.on_train_end(None, None)
    clock.now += 500  # the test set
    assert timer.time_elapsed() == 70


def test_a_checkpoint_holds_what_older_versions_read_in_it(tmp_path):
    assert set(checkpoints(tmp_path, Timer()).state_dict()) == {"rng", "seconds", "best_acc", "rows", "data"}


def test_a_signal_interrupts_and_the_end_of_the_time_says_how_to_go_on():
    with pytest.raises(Interrupted) as interrupted:
        stop(ALONE, 15)
    assert interrupted.value.signum == 15
    with pytest.raises(OutOfTimeError, match=r"after optimizer step 3, in epoch 1 of 2.* the same command resumes it"):
        stop(ALONE, TIME_IS_OVER)


def test_a_run_that_another_process_has_taken_over_stops(tmp_path):
    request = StopRequest()
    stopping = Stopping(request, Timer())
    stopping.check_held(tmp_path)
    request.lose()
    with pytest.raises(LostError, match="taken over by another process"):
        stopping.check_held(tmp_path)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_the_best_weights_are_the_earliest_of_equals_and_a_number(tmp_path, goal):
    net, sign = torch.nn.Linear(1, 1), 1 if goal == "maximize" else -1
    best = BestWeights(tmp_path / "best.pt", net, Monitor("val/mine", goal), Staging(tmp_path), lambda: False)
    for number, acc in enumerate([float("nan"), 0.5, 0.5, 0.4, 0.6, float("nan")]):
        net.weight.data.fill_(number)
        best.after_validation(SimpleNamespace(callback_metrics={"val/mine": sign * acc}, is_global_zero=True))
        kept = {0: None, 1: 1, 2: 1, 3: 1, 4: 4, 5: 4}[number]
        found = torch.load(tmp_path / "best.pt")["weight"].item() if (tmp_path / "best.pt").exists() else None
        assert found == kept
    assert best.score == 0.6
