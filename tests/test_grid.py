"""Readings to rows to tiles: period and phase, merging, places, tiles that know no chunks."""

import itertools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.errors import DataError
from sensor_ad.grid import (
    Grid,
    Gridder,
    Layout,
    Placer,
    Rows,
    find_period_us,
    find_phase_us,
    tiles,
)
from sensor_ad.periods import NICE_PERIODS_S

SECOND = 1_000_000
START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
NAN = float("nan")


def times(*steps_s):
    """Make times whose steps are these, microseconds."""
    return START_US + np.rint(np.cumsum([0, *steps_s]) * SECOND).astype(np.int64)


@pytest.mark.parametrize("period_s", NICE_PERIODS_S)
def test_period_steady(period_s):
    assert find_period_us(times(*[period_s] * 50)) == round(period_s * SECOND)


@pytest.mark.parametrize(
    ("steps", "period_s"),
    [
        ([60] * 20 + [600] + [60] * 20 + [86_400 * 3 + 17] + [60] * 20, 60),
        ([60, 120, 60, 180, 60, 60, 120] * 5, 60),
        ([59.2, 60.8] * 20, 60),
        ([60.1] * 30, 60),
        ([59] * 30, 59),
        ([7.5] * 30, 7.5),
        ([0, 1, 0, 1] * 10, 1),
    ],
    ids=["gaps", "holes", "jitter", "nearly nice", "not nice", "odd", "equal times"],
)
def test_period_found(steps, period_s):
    assert find_period_us(times(*steps)) == period_s * SECOND


@pytest.mark.parametrize("steps", [[], [60], [0, 60]])
def test_period_of_too_few_times_unknown(steps):
    assert find_period_us(times(*steps)) is None


def test_period_of_irregular_times_refused():
    with pytest.raises(DataError) as refused:
        find_period_us(times(*[1, 3, 7, 13] * 10))
    assert str(refused.value) == (
        "the times of the export are irregular (most steps lie between 1 s and 13 s), a steady "
        "sampling period was expected; set prepare.period_s to the period wanted."
    )


@pytest.mark.parametrize("offset_s", [0, 7, 29.5, 30, 59.999])
def test_phase_found(offset_s):
    rows = START_US + np.arange(100) * 60 * SECOND + round(offset_s * SECOND)
    assert find_phase_us(rows, 60 * SECOND) == round(offset_s * SECOND)


@pytest.mark.parametrize("first", [-2, 0, 2])
def test_phase_jitter_around_the_full_minute_does_not_lie_opposite(first):
    jitter = np.array([first, -1, 0, 1, 0, 2, -2, 0, 1, -1]) * SECOND
    phase = find_phase_us(START_US + np.arange(10) * 60 * SECOND + jitter, 60 * SECOND)
    assert min(phase, 60 * SECOND - phase) <= SECOND


@pytest.mark.parametrize("period_us", [1000, 7 * SECOND, 60 * SECOND])
def test_grid_row_is_the_nearest(period_us):
    grid = Grid(period_us, period_us // 3)
    row = START_US // period_us + np.arange(-3, 4)
    for shift in (-(period_us // 2) + 1, -1, 0, 1, period_us // 2 - 1):
        np.testing.assert_array_equal(grid.row(grid.time_us(row) + shift), row)


@st.composite
def readings(draw):
    """Draw times with repeats and holes, values with gaps, flags, and where to cut."""
    steps = draw(st.lists(st.sampled_from([0, 1, 2, 4, 5, 9]), min_size=1, max_size=30))
    T = len(steps)
    cell = st.sampled_from([NAN, 0.0, 1.0, 2.0, 2.5, 7.0])
    values = draw(st.lists(st.lists(cell, min_size=2, max_size=2), min_size=T, max_size=T))
    used = draw(st.lists(st.sampled_from([True, True, False]), min_size=T, max_size=T))
    points = draw(st.lists(st.integers(0, T), max_size=5))
    return START_US + np.cumsum(steps) * SECOND, np.array(values), np.array(used), points


@given(readings(), st.sampled_from([[False, False], [False, True]]))
def test_gridder_equals_naive_however_cut(case, counters):
    time_us, values, used, points = case
    gridder = Gridder(Grid(4 * SECOND, SECOND), np.array(counters))

    pieces = [gridder.add(time_us[c], values[c], used[c]) for c in naive.cuts(len(used), points)]
    pieces.append(gridder.close())

    row = np.floor((time_us - SECOND) / (4 * SECOND) + 0.5).astype(int).tolist()
    index, cells, counts = naive.grid_rows(row, values.tolist(), used.tolist(), counters)
    assert np.concatenate([piece.index for piece in pieces]).tolist() == index
    assert np.concatenate([piece.used for piece in pieces]).tolist() == counts
    np.testing.assert_allclose(np.concatenate([piece.values for piece in pieces]), cells)
    assert gridder.merged == len(row) - len(index)


def test_gridder_merges_readings_of_one_row():
    gridder = Gridder(Grid(60 * SECOND, 0), np.array([False]))
    time_us = START_US + np.array([0, 20, 60, 70, 80, 120]) * SECOND

    first = gridder.add(time_us, np.array([[1.0], [3], [5], [NAN], [8], [9]]), np.ones(6, bool))
    last = gridder.close()

    assert np.diff(first.index).tolist() == [1]
    assert first.values.tolist() == [[2], [6.5]]
    assert last.values.tolist() == [[9]]
    assert gridder.merged == 3
    assert not len(gridder.close().index)


def test_gridder_counts_a_counter_up():
    gridder = Gridder(Grid(SECOND, 0), np.array([True]))
    rows = np.array([0, 1, 2, 3, 5, 6])
    level = np.array([[10.0], [12], [12], [1], [4], [9]])  # reset at row 3, hole at row 4

    made = gridder.add(START_US + rows * SECOND, level, np.ones(6, bool))

    np.testing.assert_array_equal(made.values[:, 0], [NAN, 2, 0, NAN, NAN])
    np.testing.assert_array_equal(gridder.close().values[:, 0], [5])
    assert gridder.last is not None
    assert gridder.last[1].tolist() == [9]


def test_gridder_takes_over_a_counter():
    before, after = (Gridder(Grid(SECOND, 0), np.array([True])) for _ in range(2))
    before.add(np.array([START_US]), np.array([[5.0]]), np.ones(1, bool))
    before.close()

    after.last = before.last
    after.add(np.array([START_US + SECOND]), np.array([[7.0]]), np.ones(1, bool))

    assert after.close().values.tolist() == [[2]]


@st.composite
def packings(draw):
    """Draw rows with gaps of any length, a layout, and where to cut."""
    align = draw(st.sampled_from([1, 2, 4]))
    layout = Layout(
        align=align,
        halo=align * draw(st.integers(1, 3)),
        max_hole=draw(st.integers(0, 4)),
        tile=align * draw(st.integers(1, 6)),
    )
    step = st.one_of(st.just(1), st.integers(1, 8), st.integers(1, 1000))
    steps = draw(st.lists(step, min_size=1, max_size=40))
    used = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=len(steps),
                         max_size=len(steps)))  # fmt: skip
    index = draw(st.integers(-1, 10**9)) + np.cumsum(steps)
    points = draw(st.lists(st.integers(0, len(steps)), max_size=5))
    return layout, index.astype(np.int64), np.array(used), points


@given(packings())
def test_places_keep_distances_and_gaps(case):
    layout, index, used, points = case
    placer = Placer(layout)
    pieces = [placer.place(index[cut], used[cut]) for cut in naive.cuts(len(index), points)]
    places = np.concatenate(pieces)

    np.testing.assert_array_equal(places, Placer(layout).place(index, used))
    assert (np.diff(places) > 0).all()
    assert (places >= 0).all()
    at = np.flatnonzero(used)
    assert (places[at] % layout.align == index[at] % layout.align).all()
    for before, after in itertools.pairwise(at):
        distance = index[after] - index[before]
        if distance <= layout.max_hole + 1:
            assert places[after] - places[before] == distance
        else:
            hidden = places[after] - places[before] - 1
            between = after - before - 1
            assert hidden >= layout.halo
            assert hidden <= max(layout.halo, between * (layout.max_hole + 1)) + (
                layout.align + layout.max_hole
            )


@given(packings())
def test_tiles_hold_every_row_once_with_its_surroundings(case):
    layout, index, used, points = case
    values = np.stack([index.astype(float), -index.astype(float)], axis=1)
    chunks = [Rows(index[c], values[c], used[c]) for c in naive.cuts(len(index), points)]

    made = list(tiles(chunks, layout))

    places = Placer(layout).place(index, used)
    table = (places.tolist(), index.tolist(), values.tolist(), used.tolist())
    for number, tile in enumerate(made):
        start, length = number * layout.tile - layout.halo, len(tile.index)
        rows, cells = naive.tile_rows(*table, start, length)
        assert tile.index.tolist() == rows
        np.testing.assert_array_equal(tile.values, cells)
        core = tile.core.stop - tile.core.start
        assert tile.core.start == layout.halo
        assert length == core + 2 * layout.halo
        assert core % layout.align == 0
        assert core == layout.tile or number == len(made) - 1
    found = np.concatenate([tile.index[tile.core] for tile in made])
    np.testing.assert_array_equal(found[found >= 0], index)


def test_tiles_of_nothing():
    layout = Layout(align=2, halo=4, max_hole=1, tile=8)
    nothing = Rows(np.empty(0, np.int64), np.empty((0, 2)), np.empty(0, bool))
    assert list(tiles([], layout)) == []
    assert list(tiles([nothing, nothing], layout)) == []


def test_tiles_of_a_year_long_gap_stay_few():
    layout = Layout(align=2, halo=4, max_hole=1, tile=16)
    index = np.array([0, 1, 2, 31_536_000, 31_536_001])

    made = list(tiles([Rows(index, np.zeros((5, 1)), np.ones(5, bool))], layout))

    assert len(made) == 1
    np.testing.assert_array_equal(made[0].index[made[0].index >= 0], index)
