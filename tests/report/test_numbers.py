"""How numbers are written."""

import pytest

from ablate.report.numbers import DASH, about, duration


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
