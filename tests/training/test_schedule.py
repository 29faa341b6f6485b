"""Every schedule against its published formula, written out here; none of torch's schedule classes is asked."""

from collections.abc import Callable
from math import cos, pi
from random import Random

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from ablate.errors import InputError
from ablate.runs import cell
from ablate.training.objective import named

LR, STEPS = 0.4, 39  # one_cycle's peak falls on a step
WARM = {0.0: 0, 0.23: 9, 0.5: 20}  # fraction: steps


def cosine(t: int, steps: int) -> float:
    """Loshchilov and Hutter 2016, equation 5, one period long."""
    end = 0.01
    return end + (LR - end) * (1 + cos(pi * t / steps)) / 2


def one_cycle(t: int, steps: int) -> float:
    """Smith and Topin 2017 in fast.ai's shape: half a cosine from lr / 25 up, half a cosine down to lr / 25 / 1e4."""
    peak = 0.3 * (steps + 1) - 1
    low, end = LR / 25, LR / 25 / 1e4
    if t <= peak:
        return LR + (low - LR) * (1 + cos(pi * t / peak)) / 2
    return end + (LR - end) * (1 + cos(pi * (t - peak) / (steps - peak))) / 2


# Option: overrides, and the rate at step t of those that the warm-up leaves; multi_step's t counts all, and its
# milestones, 19.5 and 29.25, are rounded.
FORMULAS: dict[str, tuple[list[str], Callable[[int, int], float]]] = {
    "constant": ([], lambda t, steps: LR),
    "cosine": (["schedule.end=0.01"], cosine),
    "multi_step": ([], lambda t, steps: LR * 0.1 ** ((t >= 20) + (t >= 29))),
    "one_cycle": ([], one_cycle),
}


def scheduled(compose_cfg, *overrides: str, steps: int = STEPS, momentum: float = 0.9):  # type: ignore[no-untyped-def]
    """Rates and momenta of `steps` steps of a real optimizer with two parameter groups."""
    first, second = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=LR, momentum=momentum)
    configs = named.schedule(compose_cfg(*overrides))(optimizer, steps, 10)
    assert [config["interval"] for config in configs] == ["step"]
    rates, momenta = [], []
    for _ in range(steps):
        assert len({group["lr"] for group in optimizer.param_groups}) == 1
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        configs[0]["scheduler"].step()
    return rates, momenta


@pytest.mark.parametrize("shape", ["linear", "constant"])
@pytest.mark.parametrize("fraction", WARM)
@pytest.mark.parametrize("name", FORMULAS)
def test_every_step_has_the_rate_of_the_formula(compose_cfg, name, fraction, shape):
    overrides, formula = FORMULAS[name]
    warmup = [
        f"schedule.warmup.fraction={fraction}",
        "schedule.warmup.start=0.2",
        f"schedule.warmup.shape={shape}",
    ]
    rates, _ = scheduled(compose_cfg, f"schedule={name}", *overrides, *warmup)
    warm = WARM[fraction]
    if name == "multi_step":
        after = [formula(t, STEPS) for t in range(warm, STEPS)]
    else:
        after = [formula(t, STEPS - warm) for t in range(STEPS - warm)]
    # One cycle begins below lr, and a warm-up leads to where the schedule begins.
    top = LR / 25 if name == "one_cycle" else LR
    rising = [top * (0.2 + 0.8 * t / warm if shape == "linear" else 0.2) for t in range(warm)]
    assert rates == pytest.approx(rising + after, rel=1e-9)


def test_every_schedule_in_conf_is_tested_here(options):
    assert set(options("schedule")) == {*FORMULAS, "reduce_on_plateau", "keras_plateau"}


def test_one_cycle_peaks_at_lr_with_the_least_momentum(compose_cfg):
    rates, momenta = scheduled(compose_cfg, "schedule=one_cycle", "schedule.warmup.fraction=0")
    assert max(rates) == pytest.approx(LR)
    assert rates.index(max(rates)) == momenta.index(min(momenta)) == 11
    assert (max(momenta), min(momenta)) == pytest.approx((0.95, 0.85))


def test_milestones_are_fractions_of_all_steps(compose_cfg):
    chosen = ["schedule=multi_step", "schedule.milestones=[0.25,0.5,0.9]", "schedule.gamma=0.5"]
    rates, _ = scheduled(compose_cfg, *chosen, steps=20)
    assert rates == pytest.approx([LR] * 5 + [LR / 2] * 5 + [LR / 4] * 8 + [LR / 8] * 2)


def test_a_milestone_within_the_warm_up_counts_from_its_end(compose_cfg):
    chosen = ["schedule=multi_step", "schedule.milestones=[0.25,0.75]", "schedule.warmup.shape=constant"]
    rates, _ = scheduled(compose_cfg, *chosen, "schedule.warmup.fraction=0.5", "schedule.warmup.start=0.5", steps=20)
    assert rates == pytest.approx([LR / 2] * 10 + [LR / 10] * 5 + [LR / 100] * 5)


@pytest.mark.parametrize("milestones", ["[0]", "[1]", "[0.5,32000]", "[-0.1]"])
def test_milestones_that_are_no_fractions_are_refused(compose_cfg, milestones):
    with pytest.raises(InputError, match=r"schedule\.milestones"):
        scheduled(compose_cfg, "schedule=multi_step", f"schedule.milestones={milestones}")


@pytest.mark.parametrize("name", [*FORMULAS, "reduce_on_plateau", "keras_plateau"])
@pytest.mark.parametrize("fraction", [1.0, 1.5, -0.1])
def test_a_warm_up_as_long_as_the_training_is_refused(prepared, name, fraction):
    with pytest.raises(InputError, match=r"schedule\.warmup\.fraction=.* at least 0 and below 1"):
        prepared(f"schedule={name}", f"schedule.warmup.fraction={fraction}")


def test_a_warm_up_that_rounds_to_the_whole_training_leaves_the_schedule_a_step(compose_cfg):
    chosen = ["schedule=cosine", "schedule.warmup.fraction=0.99", "schedule.warmup.start=0.5"]
    rates, _ = scheduled(compose_cfg, *chosen, steps=5)
    assert rates == pytest.approx([LR * (0.5 + 0.5 * t / 4) for t in range(5)])


def test_an_unknown_shape_of_warm_up_is_refused(compose_cfg):
    with pytest.raises(InputError, match="`linear` or `constant`"):
        scheduled(compose_cfg, "schedule=constant", "schedule.warmup.shape=exponential")


def recorded_rates(chosen: cell.Cell) -> list[float]:
    cell.run(chosen)
    table = pq.read_table(chosen.directory / "metrics.parquet")
    table = table.filter(pc.equal(table["name"].cast("string"), "lr")).sort_by("step")
    assert table["step"].to_pylist() == list(range(len(table)))
    return table["value"].to_pylist()


# Steps so small that val/loss stays within the 1e-4 that counts as standing still.
STALLED = ["norm=none", "optimizer=sgd", "optimizer.lr=1e-6", "optimizer.momentum=0", "optimizer.weight_decay=0"]


@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_plateau_reduces_once_val_loss_has_stalled_for_longer_than_patience(prepared, accumulated):
    stalled = prepared(
        "schedule=reduce_on_plateau",
        "schedule.patience=1",
        "trainer.max_epochs=7",
        f"trainer.accumulate_grad_batches={accumulated}",
        *STALLED,
    )
    steps = -(-10 // accumulated)
    # The first epoch is the best; the second stalls, the third is one too many. Then the patience starts anew.
    expected = [1e-6] * 3 * steps + [1e-7] * 2 * steps + [1e-8] * 2 * steps
    assert recorded_rates(stalled) == pytest.approx(expected, rel=1e-9)


def kerass_plateau(losses: list[float], rate: float, *, patience: int, factor: float = 0.1) -> list[float]:
    """The rate after each epoch by tf.keras.callbacks.ReduceLROnPlateau: min_delta=1e-4, cooldown=0, min_lr=0."""
    best, wait, rates = float("inf"), 0, []
    for loss in losses:
        if loss < best - 1e-4:
            best, wait = loss, 0
        else:
            wait += 1
            if wait >= patience and rate > 0:
                rate, wait = rate * factor, 0
        rates.append(rate)
    return rates


def on_plateau(compose_cfg, losses: list[float], *overrides: str) -> list[float]:  # type: ignore[no-untyped-def]
    """The rate after each epoch by the schedule in conf/."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    (config,) = named.schedule(compose_cfg(*overrides))(optimizer, 10 * len(losses), 10)
    optimizer.step()
    rates = []
    for loss in losses:
        config["scheduler"].step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


# Standstills, and falls that count in torch's reading and not in Keras's, or the other way round.
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("experiment", ["notebook_resnet34", "notebook_resnet34_zero_pad", "notebook_deep"])
def test_document_004_lowers_the_rate_where_keras_does(compose_cfg, experiment, seed):
    random = Random(seed)
    losses = [3.0 if seed % 2 else 0.02]
    for _ in range(150):
        losses.append(losses[-1] - random.choice([0, 0, 0, 0, 0, -1e-3, 5e-5, 2e-4]))
    expected = kerass_plateau(losses, 0.01, patience=5)
    assert on_plateau(compose_cfg, losses, f"experiment={experiment}") == pytest.approx(expected, rel=1e-9)
    assert on_plateau(compose_cfg, losses, "schedule=reduce_on_plateau") != pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("schedule", "epochs"), [("keras_plateau", 5), ("reduce_on_plateau", 6)])
def test_how_many_epochs_without_progress_lower_the_rate(compose_cfg, schedule, epochs):
    rates = on_plateau(compose_cfg, [1.0] * 60, f"schedule={schedule}")
    assert [rate == pytest.approx(0.01) for rate in rates[: epochs + 1]] == [True] * epochs + [False]
    low = min(rates)
    assert low < 2e-9 if schedule == "keras_plateau" else low == pytest.approx(1e-8)


def test_a_plateau_leaves_the_rate_while_val_loss_falls(prepared):
    learning = prepared(
        "schedule=reduce_on_plateau", "schedule.patience=0", "trainer.max_epochs=4", "optimizer.lr=0.01"
    )
    rates = recorded_rates(learning)
    table = pq.read_table(learning.directory / "metrics.parquet").to_pylist()
    losses = [row["value"] for row in table if row["name"] == "val/loss"]
    assert losses == sorted(losses, reverse=True), "val/loss was meant to fall in this test"
    assert rates == [0.01] * 40


def test_a_plateau_after_a_warm_up(prepared):
    warmup = ["schedule.warmup.fraction=0.125", "schedule.warmup.start=0.2"]
    stalled = prepared("schedule=reduce_on_plateau", "schedule.patience=1", "trainer.max_epochs=4", *warmup, *STALLED)
    rising = [1e-6 * (0.2 + 0.8 * t / 5) for t in range(5)]
    assert recorded_rates(stalled) == pytest.approx(rising + [1e-6] * 25 + [1e-7] * 10, rel=1e-6)


def test_a_real_run_follows_the_formula(prepared):
    rates = recorded_rates(prepared("schedule=cosine", "trainer.max_epochs=2", "optimizer.lr=0.05"))
    assert rates == pytest.approx([0.05 * (1 + cos(pi * t / 20)) / 2 for t in range(20)], rel=1e-9)
