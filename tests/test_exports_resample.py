"""Values between archived events: the worked examples of OPC UA, and a slow, obvious twin."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_ad.exports.resample import Between, resample
from sensor_ad.records import Quality

NAN = float("nan")
GOOD, UNCERTAIN, SUBSTITUTED, BAD, NO_DATA = Quality
SECOND = 1_000_000

# OPC 10000-13, Annex A.1: the archived series of the example historians 1, and 2 and 3 (the same
# series, the third one stepped); seconds after 12:00:00, value, quality.
HISTORIAN_1 = [
    (0, NAN, NO_DATA), (10, 10, GOOD), (20, 20, GOOD), (30, 30, GOOD), (40, 40, BAD),
    (50, 50, GOOD), (60, 60, GOOD), (70, 70, UNCERTAIN), (80, 80, GOOD), (90, 90, GOOD),
]  # fmt: skip
HISTORIAN_2 = [
    (0, NAN, NO_DATA), (2, 10, GOOD), (25, 20, GOOD), (28, 25, GOOD), (39, 30, GOOD),
    (42, NAN, BAD), (48, 40, GOOD), (52, 50, GOOD), (72, 60, GOOD), (77, 70, UNCERTAIN),
    (83, 70, GOOD), (86, 80, GOOD), (90, 90, GOOD),
]  # fmt: skip
# The same places, true and false; A.1.4. Interpolative is not defined for it, A.2 says; with states
# held it follows from the text of 3.1.8 and 3.1.9.
HISTORIAN_4 = [
    (0, NAN, NO_DATA), (2, 1, GOOD), (25, 0, GOOD), (28, 1, GOOD), (39, 1, GOOD),
    (42, NAN, BAD), (48, 1, GOOD), (52, 0, GOOD), (72, 0, GOOD), (77, 1, UNCERTAIN),
    (83, 1, GOOD), (86, 0, GOOD), (90, 1, GOOD),
]  # fmt: skip
U = UNCERTAIN
# Annex A.2.2: Interpolative, every 5 s from 12:00:00 to 12:01:35. Uncertain_DataSubNormal is told
# as uncertain, Bad_NoData as no data.
INTERPOLATIVE_1 = [
    (NAN, NO_DATA), (NAN, NO_DATA), (10, GOOD), (15, GOOD), (20, GOOD), (25, GOOD), (30, GOOD),
    (35, U), (40, U), (45, U), (50, GOOD), (55, GOOD), (60, GOOD), (65, U), (70, U), (75, U),
    (80, GOOD), (85, GOOD), (90, GOOD), (90, U),
]  # fmt: skip
INTERPOLATIVE_2 = [
    (NAN, NO_DATA), (11.304, GOOD), (13.478, GOOD), (15.652, GOOD), (17.826, GOOD), (20, GOOD),
    (25.909, GOOD), (28.182, GOOD), (31.111, U), (36.667, U), (45, GOOD), (51.5, GOOD), (54, GOOD),
    (56.5, GOOD), (59, GOOD), (62.727, U), (67.273, U), (76.667, GOOD), (90, GOOD), (90, U),
]  # fmt: skip
INTERPOLATIVE_3 = [
    (NAN, NO_DATA), (10, GOOD), (10, GOOD), (10, GOOD), (10, GOOD), (20, GOOD), (25, GOOD),
    (25, GOOD), (30, GOOD), (30, U), (40, GOOD), (50, GOOD), (50, GOOD), (50, GOOD), (50, GOOD),
    (60, GOOD), (60, U), (70, GOOD), (90, GOOD), (90, U),
]  # fmt: skip
EVERY_5_S = list(range(0, 100, 5))
# 3.1.9, simple bounding values, derived from its text for the same series and times: what lies at
# or after a bad event is bad, towards a bad event the last value is held as uncertain, and of what
# comes after the last event (left to the server) we know nothing on a line.
SIMPLE_1 = [
    (NAN, NO_DATA), (NAN, NO_DATA), (10, GOOD), (15, GOOD), (20, GOOD), (25, GOOD), (30, GOOD),
    (30, U), (NAN, BAD), (NAN, BAD), (50, GOOD), (55, GOOD), (60, GOOD), (65, U), (70, U), (75, U),
    (80, GOOD), (85, GOOD), (90, GOOD), (NAN, NO_DATA),
]  # fmt: skip
SIMPLE_2 = [
    (NAN, NO_DATA), (11.304, GOOD), (13.478, GOOD), (15.652, GOOD), (17.826, GOOD), (20, GOOD),
    (25.909, GOOD), (28.182, GOOD), (30, U), (NAN, BAD), (45, GOOD), (51.5, GOOD), (54, GOOD),
    (56.5, GOOD), (59, GOOD), (60, U), (NAN, BAD), (76.667, GOOD), (90, GOOD), (NAN, NO_DATA),
]  # fmt: skip
SIMPLE_3 = [
    (NAN, NO_DATA), (10, GOOD), (10, GOOD), (10, GOOD), (10, GOOD), (20, GOOD), (25, GOOD),
    (25, GOOD), (30, GOOD), (NAN, BAD), (40, GOOD), (50, GOOD), (50, GOOD), (50, GOOD), (50, GOOD),
    (60, GOOD), (NAN, BAD), (70, GOOD), (90, GOOD), (90, GOOD),
]  # fmt: skip
SIMPLE_4 = [
    (NAN, NO_DATA), (1, GOOD), (1, GOOD), (1, GOOD), (1, GOOD), (0, GOOD), (1, GOOD), (1, GOOD),
    (1, GOOD), (NAN, BAD), (1, GOOD), (0, GOOD), (0, GOOD), (0, GOOD), (0, GOOD), (0, GOOD),
    (NAN, BAD), (1, GOOD), (1, GOOD), (1, GOOD),
]  # fmt: skip


def ask(events, at_s, between):
    times, values, quality = zip(*events, strict=True) if events else ((), (), ())
    out, state = resample(
        np.array(times, np.int64) * SECOND,
        np.array(values, float),
        np.array(quality, np.uint8),
        np.array(at_s, np.int64) * SECOND,
        between,
    )
    assert out.dtype == np.float64
    assert state.dtype == np.uint8
    return out, state


def check(events, at_s, between, expected):
    out, state = ask(events, at_s, between)
    values, quality = zip(*expected, strict=True)
    np.testing.assert_array_equal(state, quality)
    np.testing.assert_allclose(out, values, atol=5e-4)


@pytest.mark.parametrize(
    ("events", "stepped", "uncertain_is_bad", "expected"),
    [
        (HISTORIAN_1, False, False, INTERPOLATIVE_1),
        (HISTORIAN_2, False, True, INTERPOLATIVE_2),
        (HISTORIAN_2, True, True, INTERPOLATIVE_3),
    ],
    ids=["historian 1", "historian 2", "historian 3"],
)
def test_opc_ua_interpolative_examples(events, stepped, uncertain_is_bad, expected):
    between = Between(stepped, None, True, uncertain_is_bad, "interpolated")
    check(events, EVERY_5_S, between, expected)


@pytest.mark.parametrize(
    ("events", "stepped", "uncertain_is_bad", "expected"),
    [
        (HISTORIAN_1, False, False, SIMPLE_1),
        (HISTORIAN_2, False, True, SIMPLE_2),
        (HISTORIAN_2, True, True, SIMPLE_3),
        (HISTORIAN_4, True, True, SIMPLE_4),
    ],
    ids=["historian 1", "historian 2", "historian 3", "historian 4"],
)
def test_opc_ua_simple_bounds_as_its_text_says(events, stepped, uncertain_is_bad, expected):
    check(events, EVERY_5_S, Between(stepped, uncertain_is_bad=uncertain_is_bad), expected)


def test_stepped_and_sloped_table_of_opc_ua():
    # OPC 10000-13, 3.1.6, table 1; we extrapolate by steps only.
    events, at = [(0, 10, GOOD), (10, 20, GOOD), (20, 30, GOOD)], [0, 5, 8, 10, 15, 20]
    check(events, at, Between(False), [(v, GOOD) for v in (10, 15, 18, 20, 25, 30)])
    check(events, at, Between(True), [(v, GOOD) for v in (10, 10, 10, 20, 20, 30)])


def test_bad_lasts_until_the_next_event_however_long():
    events = [(0, 1.0, GOOD), (1, NAN, BAD), (1_000_000, 2.0, GOOD)]
    for stepped in (False, True):
        between = Between(stepped, hold_us=5 * SECOND)
        check(events, [2, 999_999, 1_000_000], between, [(NAN, BAD), (NAN, BAD), (2.0, GOOD)])


def test_nothing_is_known_beyond_the_hold():
    events = [(0, 1.0, GOOD), (10, 3.0, GOOD), (100, 5.0, GOOD)]
    nothing = (NAN, NO_DATA)
    at = [0, 5, 10, 20, 21, 99, 100, 105, 111]
    stepped = [(1, GOOD), (1, GOOD), (3, GOOD), (3, GOOD), nothing, nothing, (5, GOOD), (5, GOOD)]
    check(events, at, Between(True, 10 * SECOND), [*stepped, nothing])
    sloped = [(1, GOOD), (2, GOOD), (3, GOOD), nothing, nothing, nothing, (5, GOOD)]
    check(events, at, Between(False, 10 * SECOND), [*sloped, nothing, nothing])
    check(events, at, Between(False, 10 * SECOND, True), [*sloped, (5, UNCERTAIN), nothing])


def test_no_events_know_nothing():
    check([], [0, 1], Between(True), [(NAN, NO_DATA)] * 2)
    check([(0, 1, BAD)], [0, 1], Between(True, bounds="interpolated"), [(NAN, NO_DATA)] * 2)


def test_substituted_values_are_held_and_a_line_from_them_is_uncertain():
    events = [(0, 1.0, SUBSTITUTED), (10, 3.0, GOOD)]
    check(events, [0, 5], Between(False), [(1, SUBSTITUTED), (2, UNCERTAIN)])
    check(events, [0, 5], Between(True), [(1, SUBSTITUTED), (1, SUBSTITUTED)])


MARK = 666.0
"""Value of every bad event: it must never be seen."""
EVENTS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([0.0, 1.0, -2.5, 7.0]),
        st.sampled_from(list(Quality)),
    ),
    unique_by=lambda event: event[0],
    max_size=12,
).map(sorted)
RULES = st.builds(
    Between,
    stepped=st.booleans(),
    hold_us=st.none() | st.integers(0, 20).map(lambda s: s * SECOND),
    hold_after_last=st.booleans(),
    uncertain_is_bad=st.booleans(),
    bounds=st.sampled_from(["simple", "interpolated"]),
)


def marked(events):
    return [(t, MARK if quality >= BAD else value, quality) for t, value, quality in events]


@settings(max_examples=400, deadline=None)
@given(events=EVENTS, between=RULES)
def test_resample_equals_its_slow_twin(events, between):
    at = range(-3, 45)
    out, state = ask(marked(events), at, between)
    for k, second in enumerate(at):
        value, quality = naive.between_events(events, second, between)
        assert state[k] == quality
        assert (math.isnan(out[k]) and math.isnan(value)) or out[k] == pytest.approx(value)
        assert math.isnan(out[k]) == (state[k] >= BAD)
        assert out[k] != MARK


@settings(max_examples=100, deadline=None)
@given(events=EVENTS, between=RULES, cut=st.integers(0, 40))
def test_a_cut_with_its_neighbours_changes_no_bit(events, between, cut):
    between = Between(**{**between.__dict__, "bounds": "simple"})
    at = np.arange(-3, 45)
    whole = ask(events, at, between)
    last = max((k for k, event in enumerate(events) if event[0] < cut), default=-1)
    early = ask(events[: last + 2], at[at < cut], between)
    late = ask(events[max(last, 0) :], at[at >= cut], between)
    for part, other, joined in zip(early, late, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([part, other]), joined)
