"""What slow change is normal: an interval that holds for the next day, ranges of the history."""

import doctest

import numpy as np
import pytest

from sensor_ad import slow_normal
from sensor_ad.slow_normal import LEAST_BAND, SPAN_SLOTS, fit_slow_normal, slot_rows
from sensor_ad.slow_slots import SlowSlots

HOUR_US = 3_600_000_000


def slots(reading, expected=0.0):
    """Make hourly slots of a minute grid."""
    reading = np.asarray(reading, float)
    start_us = np.arange(len(reading)) * HOUR_US
    return SlowSlots(start_us, HOUR_US, 60, reading, np.broadcast_to(expected, reading.shape))


def fitted(held, whole, spread):
    """Fit; each tag is for itself."""
    return fit_slow_normal(held, whole, spread, np.eye(len(spread)))


@pytest.mark.parametrize("spans", [4, 20])
def test_band_holds_for_the_day_that_follows(spans):
    """Levels of days differ by themselves; a further one is outside about once in a hundred."""
    tags = 400
    random = np.random.default_rng(3)
    days = random.standard_normal((spans + 1, tags)) + 7.0
    hours = np.repeat(days, SPAN_SLOTS, axis=0)
    held = slots(hours[:-SPAN_SLOTS])
    normal = fitted(held, held, np.full(tags, 1e-6))

    outside = np.abs(days[-1] - normal.usual) > normal.band
    assert normal.spans == spans
    assert outside.mean() < 0.05
    # Few spans are not enough for a narrow band.
    assert 2.5 < np.median(normal.band) < {4: 8.0, 20: 4.0}[spans]


def test_ranges_are_those_of_the_whole_history():
    hours = np.tile(np.sin(2 * np.pi * np.arange(SPAN_SLOTS) / SPAN_SLOTS), 10)[:, None] * 5
    hours[120:] += 2.0
    normal = fitted(slots(hours[-120:]), slots(hours), np.array([2.0]))
    leeway = LEAST_BAND * 2.0

    np.testing.assert_allclose(normal.span_low, 0.0 - leeway, atol=0.7)
    np.testing.assert_allclose(normal.span_high, 2.0 + leeway, atol=0.7)
    np.testing.assert_allclose(normal.slot_low, -5.0 - leeway)
    np.testing.assert_allclose(normal.slot_high, 7.0 + leeway)
    assert normal.span_rows == 1440


def test_band_is_never_narrower_than_what_was_seen_or_than_its_floor():
    hours = np.zeros((8 * SPAN_SLOTS, 2))
    hours[: 3 * SPAN_SLOTS, 1] = 50.0
    normal = fitted(slots(hours), slots(hours), np.array([3.0, 3.0]))
    assert normal.band[0] == pytest.approx(LEAST_BAND * 3.0)
    assert normal.usual[1] + normal.band[1] >= 50.0


def test_tag_with_too_few_readings_has_no_band():
    hours = np.zeros((6 * SPAN_SLOTS, 2))
    hours[3 * SPAN_SLOTS :, 1] = np.nan
    normal = fitted(slots(hours), slots(hours), np.ones(2))
    assert np.isfinite(normal.band).tolist() == [True, False]
    assert np.isfinite(normal.span_low).all()


def test_nothing_is_known_of_a_tag_without_readings():
    hours = np.full((6 * SPAN_SLOTS, 1), np.nan)
    normal = fitted(slots(hours), slots(hours), np.ones(1))
    assert np.isnan([normal.span_low, normal.slot_high]).all()
    assert np.isinf(normal.band).all()


@pytest.mark.parametrize(
    ("held", "period_s", "window", "rows"),
    [
        (10_000, 60, 64, 60),  # a day of minutes
        (4_000, 60, 64, 41),  # a quarter of three days
        (2_000, 60, 64, None),  # less than eight windows
        (40_000, 1, 64, 416),  # a fast rig: nearly three hours
        (400, 3_600, 64, 1),  # hourly readings: a day, whatever the window
        (90, 3_600, 8, None),
        (120, 86_400, 8, 1),  # daily readings: 24 of them
    ],
)
def test_length_of_a_slot(held, period_s, window, rows):
    assert slot_rows(held, period_s * 1_000_000, window) == rows


def test_examples_in_docstrings():
    result = doctest.testmod(slow_normal)
    assert result.attempted
    assert not result.failed
