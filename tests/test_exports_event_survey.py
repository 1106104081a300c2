"""What is learnt of a tag's gaps and values: near the exact answer, and independent of cuts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_ad.exports.event_merge import Archived
from sensor_ad.exports.event_survey import FEW_STATES, GapCounts, Survey

NAN = float("nan")
GOOD, BAD = 0, 3


@settings(max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 10**14), min_size=1, max_size=60),
    share=st.sampled_from([0.0, 0.5, 0.99]),
    cut=st.integers(0, 60),
)
def test_quantiles_are_near_the_exact_lower_ones_however_they_are_added(gaps, share, cut):
    counts = GapCounts(2)
    for part in (gaps[cut:], gaps[:cut]):
        counts.add(np.ones(len(part), np.int64), np.array(part, np.int64))
    exact = sorted(gaps)[int(share * (len(gaps) - 1))]
    assert exact / 1.1 < counts.quantile(1, share) <= exact
    assert (counts.total(0), counts.total(1)) == (0, len(gaps))


def test_a_regular_tag_is_told_exactly():
    counts = GapCounts(1)
    counts.add(np.zeros(99, np.int64), np.full(99, 7_000_001))
    assert counts.quantile(0, 0.5) == 7_000_001


def surveyed(events, cuts):
    survey = Survey(2)
    for start, stop in zip([0, *cuts], [*cuts, len(events)], strict=True):
        part = sorted(events[start:stop], key=lambda event: event[1])
        if part:
            time_us, tag, values, quality = (np.array(column) for column in zip(*part, strict=True))
            survey.add(Archived(time_us, tag, values, quality), np.unique(time_us))
    return survey


@pytest.mark.parametrize("cuts", [[], [1], [3], [1, 2, 3, 4, 5, 6], [6]])
def test_cuts_change_nothing_and_gaps_after_bad_events_are_left_out(cuts):
    events = [
        (1_000, 0, 1.0, GOOD),
        (2_000, 1, 5.0, GOOD),
        (3_000, 0, NAN, BAD),
        (9_000, 0, 2.0, GOOD),
        (9_500, 1, 5.0, GOOD),
        (9_700, 0, 1.0, GOOD),
        (9_900, 1, 6.0, GOOD),
    ]
    survey = surveyed(events, cuts)
    assert survey.events.tolist() == [4, 3]
    assert [survey.states(tag) for tag in range(2)] == [2, 2]
    assert [survey.gaps.total(tag) for tag in range(2)] == [2, 2]
    assert [survey.gaps.quantile(0, share) for share in (0.0, 1.0)] == [700, 2_000]
    assert [survey.gaps.quantile(1, share) for share in (0.0, 1.0)] == [400, 7_500]
    assert (survey.distinct_times, survey.first_us, survey.last_us) == (7, 1_000, 9_900)
    assert survey.any_gaps.total(0) == 6


@pytest.mark.parametrize(("values", "states"), [(FEW_STATES, FEW_STATES), (FEW_STATES + 1, None)])
@pytest.mark.parametrize("rows", [20, 2_000])
def test_states_are_counted_up_to_few(values, states, rows):
    # The last value comes late, so that looking at the first ones is not enough.
    events = [(k, 0, float(min(k % rows, values - 2)), GOOD) for k in range(rows)]
    events.append((rows, 0, 99.0, GOOD))
    assert surveyed(events, []).states(0) == states
