"""Steps of time snapped to the periods that instruments are set to."""

import pytest

from sensor_ad.periods import NICE_PERIODS_S, snapped_us


@pytest.mark.parametrize("period_s", NICE_PERIODS_S)
def test_a_nice_period_stays(period_s):
    assert snapped_us(period_s * 1e6, period_s * 1e6) == round(period_s * 1e6)
    assert snapped_us(period_s * 1.004e6, period_s * 1.004e6) == round(period_s * 1e6)


@pytest.mark.parametrize(
    ("step_s", "finest_s", "expected_s"),
    [(7.3, 0, 6), (7.3, 7.3, 10), (7.9, 0, 10), (50, 61, 120), (1e-9, 0, 0.001), (1e9, 1e9, 86400)],
)
def test_other_steps_go_to_the_nearest_that_is_not_too_fine(step_s, finest_s, expected_s):
    assert snapped_us(step_s * 1e6, finest_s * 1e6) == round(expected_s * 1e6)
