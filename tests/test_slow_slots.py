"""Slots of slow change: every row counted once, few of them, the same however an export was cut."""

import doctest

import naive
import numpy as np
import pytest
from hypothesis import given
from scored import pieces, scored_rows

from sensor_ad import slow_slots
from sensor_ad.grid import Grid
from sensor_ad.slow_slots import SlowCount, slow_level

GRID = Grid(60_000_000, 7)


def counted(tile, points=(), width=3):
    """Count a tile cut at some points."""
    count = SlowCount(GRID, 2, width)
    for piece in pieces(tile, points):
        count.add(piece.index, piece.actual, piece.expected, piece.scorable)
    return count.slots()


@given(case=scored_rows(60))
@pytest.mark.parametrize("most", [4, 16, 2048])
def test_slots_equal_naive_however_cut(most, case):
    tile, points = case
    tile.actual[::5, 0] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slow_slots, "FEWEST_SLOTS", most)
        patch.setattr(slow_slots, "MOST_SLOTS", most)
        made = counted(tile, points)

    assert len(made.start_us) <= most
    doubled = made.width_rows // 3
    assert doubled & (doubled - 1) == 0
    assert made.width_us == made.width_rows * GRID.period_us
    keys = sorted(set(tile.index[tile.scorable] // made.width_rows))
    np.testing.assert_array_equal(made.start_us, np.array(keys, int) * made.width_us + 7)
    for b, key in enumerate(keys):
        for c in range(2):
            means = naive.slow_means(tile, key, made.width_rows, c)
            found = (made.reading[b, c], made.expected[b, c])
            np.testing.assert_allclose(found, means, rtol=1e-12)


def test_memory_is_bounded_for_many_rows_and_tags(monkeypatch):
    monkeypatch.setattr(slow_slots, "SLOT_CELLS", 2**10)
    monkeypatch.setattr(slow_slots, "FEWEST_SLOTS", 16)
    count = SlowCount(GRID, 32, 10)
    for first in range(0, 50_000, 5_000):
        index = np.arange(first, first + 5_000)
        values = np.repeat(index[:, None].astype(float), 32, axis=1)
        count.add(index, values, values - 1.0, np.ones(5_000, bool))
        assert len(count.slots().start_us) <= 32
    made = count.slots()
    assert len(made.start_us) > 16
    np.testing.assert_allclose(made.residual, 1.0)


def test_a_history_is_not_bounded():
    count = SlowCount(GRID, 1, 1, bounded=False)
    index = np.arange(5_000)
    count.add(index, np.ones((5_000, 1)), np.ones((5_000, 1)), np.ones(5_000, bool))
    assert len(count.slots().start_us) == 5_000


@given(case=scored_rows(60))
def test_exports_in_turn_are_counted_like_one(case):
    """The second goes on from the first; rows that it scores again are counted once."""
    tile, points = case
    cut = points[0] if points else 0
    counts = SlowCount(GRID, 2, 3), SlowCount(GRID, 2, 3)
    for count, rows in zip(counts, (slice(0, cut), slice(max(0, cut - 5), None)), strict=True):
        if count is counts[1]:
            count.go_on(counts[0].state())
        parts = (tile.index, tile.actual, tile.expected, tile.scorable)
        count.add(*(part[rows] for part in parts))
    second = counts[1]
    whole = counted(tile)
    np.testing.assert_array_equal(second.slots().start_us, whole.start_us)
    np.testing.assert_allclose(second.slots().reading, whole.reading, rtol=1e-12)


def test_what_is_handed_on_is_bounded():
    count = SlowCount(GRID, 1, 1)
    index = np.arange(2_000)
    count.add(index, np.ones((2_000, 1)), np.ones((2_000, 1)), np.ones(2_000, bool))
    assert len(count.state()["key"]) == slow_slots.REMEMBERED
    later = SlowCount(GRID, 1, 1)
    later.go_on(count.state())
    assert later.slots().start_us[0] == GRID.time_us(np.array(2_000 - slow_slots.REMEMBERED))


def test_slots_of_nothing():
    made = SlowCount(GRID, 3, 10).slots()
    assert made.reading.shape == made.residual.shape == (0, 3)
    assert slow_level(made.reading, 4).shape == (0, 3)


@given(case=scored_rows(40))
@pytest.mark.parametrize("span", [1, 2, 5])
def test_slow_level_equals_naive(span, case):
    tile, _ = case
    values = np.where(tile.scorable[:, None], tile.actual, np.nan)
    levels = slow_level(values, span)
    for c in range(2):
        np.testing.assert_array_equal(levels[:, c], naive.sliding_medians(values[:, c], span))


def test_slow_level_does_not_see_what_fills_less_than_half_a_span():
    values = np.zeros((100, 1))
    values[40:51] = 1e6
    assert not np.nan_to_num(slow_level(values, 24)).any()
    values[40:70] = 1.0
    assert np.nansum(slow_level(values, 24) == 1.0) == pytest.approx(30, abs=1)


def test_examples_in_docstrings():
    result = doctest.testmod(slow_slots)
    assert result.attempted
    assert not result.failed
