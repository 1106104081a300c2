"""Faulty sensors are masked from when their fault is certain, however a run was cut."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.grid import Grid, Rows
from sensor_ad.prepare import Preparation
from sensor_ad.records import Tag
from sensor_ad.sensor_watch import (
    COARSE,
    LOST,
    RAIL,
    STUCK,
    SensorWatch,
    WatchLimits,
    sound_state,
    state_from,
    watch_limits,
)
from sensor_ad.standstill import StandStill

NAN = float("nan")
WINDOW, MAX_HOLE = 16, 2
CAUSES = {"stuck": STUCK, "lost": LOST, "rail": RAIL}
C = 3


def usual(hold=4.0, lost=0.0, resting=NAN):
    """Say that tags hold a value for so long, and rest at one."""
    return StandStill(
        np.full(C, hold), np.full((C, 1), resting), WINDOW, np.full(C, lost), np.zeros(C)
    )


def preparation(kinds=("continuous",) * C, roles=("measurement",) * C):
    tags = tuple(Tag(name, role=role) for name, role in zip("abc", roles, strict=True))
    flat = np.ones(C)
    return Preparation(tags, kinds, 0 * flat, flat, -1 * flat, 1 * flat,
                       np.full(C, 4), Grid(60_000_000, 0), "")  # fmt: skip


def watch(still=None, **limits):
    still = still or usual()
    return SensorWatch(
        replace(watch_limits(preparation(), still, WINDOW), **limits), still, MAX_HOLE
    )


def moving(T, seed=0):
    """Values that never stand still, within the training range of -1 to 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (T, C)).round(6)


def through(watching, index, values, points=(), used=None):
    """Send rows through in pieces; give what came out."""
    used = np.ones(len(index), bool) if used is None else used
    pieces = [Rows(index[c], values[c], used[c]) for c in naive.cuts(len(index), points)]
    out = list(watching.passing(pieces))
    return np.concatenate([rows.values for rows in out])


@st.composite
def histories(draw):
    """Draw rows with stretches of all kinds, and where to cut them."""
    pieces = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["move", "move", "hold", "rest", "none", "rail", "huge"]),
                st.integers(1, 45),
            ),
            min_size=1,
            max_size=12,
        )
    )
    random = np.random.default_rng(draw(st.integers(0, 99)))
    parts = []
    for kind, rows in pieces:
        part = random.integers(-9, 9, (rows, C)) / 10
        column = draw(st.integers(0, C - 1))
        width = draw(st.sampled_from([1, 1, C]))
        where = slice(column, column + width)
        worth = {"hold": 0.55, "rest": 0.25, "none": NAN, "rail": 5.5, "huge": 9e9}
        if kind in worth:
            part[:, where] = worth[kind]
        parts.append(part)
    values = np.concatenate(parts)
    steps = draw(st.lists(st.sampled_from([1] * 12 + [3, 9]), min_size=len(values),
                          max_size=len(values)))  # fmt: skip
    return np.cumsum(steps), values, draw(st.lists(st.integers(0, len(values)), max_size=6))


LIMITS = WatchLimits(
    stuck=np.array([16.0, 20, np.inf]),
    lost=np.array([18.0, 16, 20]),
    rail=np.array([5.0, 8, np.inf]),
    low=np.full(C, -2.0),
    high=np.full(C, 2.0),
    most=np.array([50.0, 50, np.inf]),
    together=1.0,
    sound=5,
)


@given(histories())
def test_masked_rows_equal_naive_however_cut(case):
    index, values, points = case
    still = usual(hold=4.0, resting=0.25)
    watching = SensorWatch(LIMITS, still, MAX_HOLE)

    shown = through(watching, index, values, points)

    masked, faults = naive.masked_rows(
        index.tolist(), values.T.tolist(), LIMITS, still.usual, still.resting.tolist(), MAX_HOLE
    )
    expected = values.copy()
    for c in range(C):
        expected[np.isin(index, masked[c]), c] = NAN
    np.testing.assert_array_equal(shown, expected)
    told = [[] for _ in range(C)]
    for one in watching.stretches():
        told[one.column].append((one.cause, one.start, one.confirmed))
    assert told == [[(CAUSES[k], start, at) for k, start, at in found] for found in faults]


@given(histories(), st.integers(0, 360))
def test_state_goes_on_in_the_next_export(case, at):
    index, values, _ = case
    at = min(at, len(index))
    still = usual(hold=4.0, resting=0.25)
    whole, first, second = (SensorWatch(LIMITS, still, MAX_HOLE) for _ in range(3))
    expected = through(whole, index, values)

    head = through(first, index[:at], values[:at])
    kept = {name: np.array(array) for name, array in vars(first.state).items()}
    second.go_on(state_from(kept))
    tail = through(second, index[at:], values[at:])

    np.testing.assert_array_equal(np.concatenate([head, tail]), expected)
    again = SensorWatch(LIMITS, still, MAX_HOLE)
    again.go_on(state_from(kept))
    np.testing.assert_array_equal(through(again, index[at:], values[at:]), tail)


def test_stuck_sensor_is_masked_from_its_confirmation_until_it_moves():
    watching, index, values = watch(), 1000 + np.arange(400), moving(400)
    values[100:200, 1] = 0.5
    given = values.copy()

    shown = through(watching, index, values)

    np.testing.assert_array_equal(values, given)
    hidden = np.isnan(shown)
    assert np.flatnonzero(hidden[:, 1]).tolist() == list(range(139, 207))
    assert not hidden[:, [0, 2]].any()
    (one,) = watching.stretches()
    assert (one.column, one.cause, one.value) == (1, STUCK, 0.5)
    assert (one.start, one.confirmed, one.end, one.open) == (1100, 1139, 1206, False)
    assert watching.confirmed == [1139]


def test_fault_that_goes_on_is_open():
    watching, values = watch(), moving(200)
    values[100:, 0] = NAN
    through(watching, np.arange(200), values)
    (one,) = watching.stretches()
    assert (one.cause, one.start, one.confirmed, one.end) == (LOST, 100, 131, 199)
    assert one.open
    assert np.isnan(one.value)


@pytest.mark.parametrize(
    ("rows", "value", "cause"),
    [(7, 5.0, None), (8, 5.0, RAIL), (8, 1.9, None), (39, 0.5, None), (40, 0.5, STUCK),
     (31, NAN, None), (32, NAN, LOST), (32, 51.0, LOST), (31, -51.0, None)],
)  # fmt: skip
def test_how_long_is_long(rows, value, cause):
    watching, values = watch(), moving(200)
    values[100 : 100 + rows, 2] = value
    if value > 50:
        values[100 : 100 + rows, 2] += np.arange(rows)  # noise: no stretch of one value
    through(watching, np.arange(200), values)
    assert [one.cause for one in watching.stretches()] == ([] if cause is None else [cause])


def test_what_is_usual_follows_from_training():
    values = moving(400)
    values[100:190, 0] = 0.5
    values[200:250, 1] = NAN
    for still, causes in (
        (usual(), [STUCK, LOST]),
        (usual(hold=10.0), [LOST]),
        (usual(lost=6.0), [STUCK]),
        (usual(resting=0.5), [LOST]),
        (usual(lost=np.inf), [STUCK]),
    ):
        watching = watch(still)
        through(watching, np.arange(400), values)
        assert [one.cause for one in watching.stretches()] == causes


def test_all_at_once_is_no_fault_of_one_sensor():
    values = moving(300)
    values[100:200] = values[100]
    watching = watch(stuck=np.array([40.0, 60, 80]))
    np.testing.assert_array_equal(through(watching, np.arange(300), values), values)


def test_kinds_and_roles_that_are_not_judged():
    kinds, roles = ("few-state", "counter", "continuous"), ("measurement",) * 2 + ("set-point",)
    limits = watch_limits(preparation(kinds, roles), usual(), WINDOW, absent={"b"})
    assert np.isinf(limits.stuck).all()
    assert np.isinf(limits.rail).all()
    assert limits.lost.tolist() == [32, np.inf, np.inf]


def test_a_tag_in_coarse_steps_is_no_sooner_at_a_rail_than_stuck():
    """Values repeat there, outside the training range too: a closing valve is no failed sensor."""
    fine = usual()
    coarse = replace(fine, repeats=np.array([0.0, COARSE + 0.01, COARSE]))
    made = watch_limits(preparation(), coarse, WINDOW)
    before = watch_limits(preparation(), fine, WINDOW)
    assert made.rail[1] == made.stuck[1] > before.rail[1]
    assert made.rail[[0, 2]].tolist() == before.rail[[0, 2]].tolist()


def test_nothing_is_judged_without_a_limit():
    none = np.full(C, np.inf)
    values = np.zeros((300, C))
    watching = watch(stuck=none, lost=none, rail=none)
    np.testing.assert_array_equal(through(watching, np.arange(300), values), values)


def test_rows_that_do_not_count_are_left_out():
    """A pump at rest under use_when: its tags stand still, and nobody looks."""
    values, used = moving(400), np.ones(400, bool)
    values[100:300, 0], used[100:300] = 0.123, False
    watching = watch()
    np.testing.assert_array_equal(through(watching, np.arange(400), values, used=used), values)
    assert watching.stretches() == ()


def test_row_of_which_nothing_is_left_does_not_count():
    values = moving(200)
    values[100:, 1:] = NAN
    values[100:, 0] = 7.0
    (rows,) = watch(lost=np.full(C, np.inf)).passing(
        [Rows(np.arange(200), values, np.ones(200, bool))]
    )
    assert np.flatnonzero(~rows.used).tolist() == list(range(107, 200))


def test_gap_ends_a_stretch_but_no_fault():
    values, index = moving(200), np.arange(200)
    values[80:110, 0] = 0.5
    index[100:] += MAX_HOLE + 1
    watching = watch()
    through(watching, index, values)
    assert watching.stretches() == ()
    values[30:150, 0] = 0.5
    shown = through(watching, index, values)
    assert np.flatnonzero(np.isnan(shown[:, 0])).tolist() == list(range(69, 157))


def test_first_state_knows_nothing():
    state = sound_state(2)
    assert (state.last, state.cause.tolist(), state.rows.tolist()) == (-1, [0, 0], [0, 0])
