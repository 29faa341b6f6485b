"""`stop_hopeless` ends runs that have learned nothing, which then count as lost and are in no mean."""

import json

import pytest

from ablate.report.answer import answer
from ablate.report.contents import contents
from ablate.report.notes import notes
from ablate.runs import cell, record
from ablate.training.hopeless import Hopeless

FLAT = ("optimizer.lr=0.0", "init=random_uniform", "norm=none")  # which keeps its first weights, and guesses


def test_a_run_that_guesses_is_stopped_and_one_that_learns_is_not(prepared):
    hopeless = prepared("trainer.max_epochs=8", "stop_hopeless=0.25", *FLAT)
    known, trained = cell.run(hopeless)
    assert trained and known.status == "stopped"
    steps = known.stopped["of"]
    assert steps % 8 == 0 and known.stopped["step"] == steps // 4
    assert "that of guessing" in known.stopped["reason"] or "vanished" in known.stopped["reason"]
    assert "test/acc" not in known.summary
    assert cell.run(hopeless)[1] is False  # a result: not trained again
    learns, _ = cell.run(prepared("trainer.max_epochs=8", "stop_hopeless=0.5"))
    plain, _ = cell.run(prepared("trainer.max_epochs=8"))
    assert learns.status == "finished" and learns.summary == plain.summary


def test_it_is_off_by_default_and_then_the_fingerprint_is_what_it_was(prepared):
    assert (
        prepared().fingerprint
        == prepared("stop_hopeless=null").fingerprint
        != prepared("stop_hopeless=0.5").fingerprint
    )
    for wrong in ("0", "1.0", "-0.1"):
        with pytest.raises(Exception, match="stop_hopeless"):
            prepared(f"stop_hopeless={wrong}")


class Trainer:
    """As much of Lightning's as the callback asks."""

    sanity_checking, should_stop = False, False
    estimated_stepping_batches = 100

    class strategy:  # noqa: N801
        broadcast = staticmethod(lambda value: value)

    def __init__(self, step: int, accuracy: float) -> None:
        self.global_step, self.callback_metrics = step, {"val/acc": accuracy}


@pytest.mark.parametrize(
    "step, accuracy, flow, stops",
    [
        (24, 0.1, "vanishing", False),  # too early
        (25, 0.1, "even", True),
        (25, 0.3, "even", False),
        (25, 0.3, "vanishing", True),
        (25, 0.3, None, False),
        (100, 0.1, "vanishing", False),  # it is over anyway
    ],
)
def test_when_it_stops(step, accuracy, flow, stops):
    watching = Hopeless(0.25, 10, lambda: flow)
    trainer = Trainer(step, accuracy)
    watching.on_validation_end(trainer, None)
    assert (watching.stopped is not None) == trainer.should_stop == stops


def test_stopped_runs_are_lost_in_ranks_and_in_no_mean(run, compared):
    ended = {"stopped": {"step": 10, "of": 40, "reason": "val/acc of 0.1000 is that of guessing"}}
    for seed in range(6):
        run({"norm": "batch"}, seed, 0.8 + seed / 100, history=False)
        lost = seed < 4
        run(
            {"norm": "none"},
            seed,
            0.99,
            status="stopped" if lost else "finished",
            history=False,
            **(ended if lost else {}),
        )
        run({"norm": "group"}, seed, 0.1, status="stopped", history=False, **ended)
    comparison = compared()
    none = next(variant for variant in comparison.variants if variant.label == "norm=none")
    group = next(variant for variant in comparison.variants if variant.label == "norm=group")
    assert none.estimate.n == 2 and none.test.lost == (4, 0) and none.verdict == "undecided"
    assert group.estimate.n == 0 and group.verdict == "lost" and group.test.p < 0.05
    assert any(note.startswith("Runs that stop_hopeless ended early: ") for note in notes(comparison))
    assert "lost (diverged or stopped)" in " ".join(answer(comparison))
    rows = {row["label"]: row for row in contents(comparison).rows}
    assert (rows["norm=none"]["stopped"], rows["norm=none"]["diverged"]) == (4, 0)
    assert rows["norm=group"]["runs"][0]["said"].startswith("stopped at step 10: val/acc")
    assert json.dumps(record.RESULTS) == '["finished", "diverged", "stopped"]'
