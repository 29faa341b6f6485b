"""How numbers are written."""

import pytest

from ablate.report.numbers import DASH, about, duration, unit


@pytest.mark.parametrize(
    ("seconds", "exact", "estimated"),
    [
        (0.04, "0.0 s", "about 0 s"),
        (30.7, "30.7 s", "about 31 s"),
        (59.94, "59.9 s", "about 1 min 00 s"),
        (59.96, "1 min 00 s", "about 1 min 00 s"),
        (200.4, "3 min 20 s", "about 3 min 20 s"),
        (3599.7, "1 h 00 min", "about 1 h 00 min"),
        (7500, "2 h 05 min", "about 2 h 05 min"),
    ],
)
def test_a_duration_is_exact_or_an_estimate_in_whole_seconds(seconds, exact, estimated):
    assert (duration(seconds), about(seconds)) == (exact, estimated)


def test_a_duration_that_nobody_knows_is_a_dash():
    assert duration(None) == DASH


@pytest.mark.parametrize(
    ("metric", "interval", "decimals"),
    [
        ("test/acc", (-0.0722, -0.0569), 1),  # half a width of 0.77 points, of which a fifth is 0.15
        ("test/acc", (-0.0269, -0.0186), 2),  # 0.42 points: 0.08
        ("test/acc", (-0.798, -0.199), 1),  # 30 points: 6, but an accuracy has a decimal
        ("train/loss", (0.384, 0.590), 2),  # 0.103: 0.02
        ("train/loss", (-0.0276, -0.0026), 3),  # 0.0125: 0.0025
        ("cost/seconds", (-17.0, -13.1), 1),
        ("test/acc", None, 2),
    ],
)
def test_a_number_has_the_decimals_that_its_interval_bears(metric, interval, decimals):
    assert unit(metric).to(interval).decimals == decimals


def test_no_interval_of_an_accuracy_leaves_what_is_possible():
    assert unit("test/acc").interval((-0.02, 1.03)) == "0.00 to 100.00"
    assert unit("test/acc").interval((-1.2, 0.1), changes=True) == "−100.00 to +10.00"
    assert unit("train/loss").interval((-0.5, 2.5)) == "−0.5000 to 2.5000"
