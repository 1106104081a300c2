"""Which rows are alarms: begun by the limit, ended by the release, whatever the tiles."""

import doctest

import naive
import numpy as np
import pandas as pd
import plant
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import pieces, scored_rows

from sensor_ad import alarms
from sensor_ad.alarms import AlarmState, EventRules, event_rules
from sensor_ad.config import EventSettings
from sensor_ad.grid import Grid

RELEASES, FADES = [1.0, 0.6, 0.34, 0.1], [0.0, 0.1, 0.5, 0.9]


@given(scored_rows(), st.integers(0, 6), st.sampled_from(RELEASES), st.sampled_from(FADES))
def test_alarms_equal_naive_however_cut(case, pause, release, fade):
    tile, points = case
    state = AlarmState(1.0, EventRules(pause, release=release, fade=fade))

    cut = [state.add(one.causal, one.scorable, one.index) for one in pieces(tile, points)]

    rows = (tile.index, tile.causal, tile.scorable)
    alarm, faded = (np.concatenate(parts) for parts in zip(*cut, strict=True))
    expected = naive.held_alarms(*rows, 1.0, pause, release, fade)
    assert np.flatnonzero(alarm).tolist() == expected
    above = set(np.flatnonzero(tile.scorable & (np.nan_to_num(tile.causal) > 1.0)).tolist())
    assert set(np.flatnonzero(faded).tolist()) == above - set(expected)


@given(scored_rows(), st.integers(0, 6), st.sampled_from(RELEASES[1:]))
def test_events_only_merge_and_lengthen(case, pause, release):
    """So a limit keeps its budget, which was counted with a release of 1."""
    tile, _ = case
    rows = (tile.index, tile.score, tile.scorable)
    plain = naive.merged_alarms(*rows, 1.0, pause)
    held = naive.merged_alarms(*rows, 1.0, pause, release)
    assert len(held) <= len(plain)
    for group in plain:
        assert any(set(group) <= set(longer) for longer in held)


def alarms_of(score, index=None, scorable=None, pause=3, release=0.5, fade=0.0):
    score = np.asarray(score, dtype=np.float64)
    index = np.arange(len(score)) if index is None else np.asarray(index)
    known = np.ones(len(score), bool) if scorable is None else np.asarray(scorable, bool)
    state = AlarmState(4.0, EventRules(pause, release=release, fade=fade))
    return state.add(score, known, index)[0].astype(int).tolist()


def test_what_a_fault_leaves_behind_is_no_alarm_for_ever():
    score = [1, 24, 20, 13, 9, 8, 9, 8, 9]
    assert alarms_of(score, fade=0.5) == [0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert alarms_of([*score, 18, 19, 15, 8], fade=0.5)[9:] == [0, 1, 1, 0], "three quarters back"
    assert alarms_of([*score, 3, 2, 5, 6], fade=0.5)[9:] == [0, 0, 1, 1], "normal in between"
    assert alarms_of(score, release=1.0) == [0, 1, 1, 1, 1, 1, 1, 1, 1]


def test_score_about_the_limit_is_one_alarm():
    score = [1, 5, 3.9, 4.1, 3.9, 4.1, 2.1, 2.0, 3.9, 1]
    assert alarms_of(score) == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert alarms_of(score, release=1.0) == [0, 1, 0, 1, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("step", "held"), [(3, 1), (4, 0)])
def test_alarm_is_held_over_a_gap_no_longer_than_the_pause(step, held):
    assert alarms_of([5, 3, 3], index=[0, 1, 1 + step]) == [1, 1, held]


def test_alarm_passes_by_rows_that_cannot_be_scored():
    score = [5, np.nan, 3, 3, np.nan, np.nan, np.nan, 3]
    scorable = np.isfinite(score)
    assert alarms_of(score, scorable=scorable) == [1, 0, 1, 1, 0, 0, 0, 0], "the last gap is 4 rows"


def test_piece_without_a_scorable_row_changes_nothing():
    state = AlarmState(4.0, EventRules(3, release=0.5))
    yes, no = np.ones(1, bool), np.zeros(1, bool)
    given_alarms = [
        state.add(np.array([score]), known, np.array([row]))[0]
        for row, score, known in [(0, 5.0, yes), (1, np.nan, no), (2, 3.0, yes)]
    ]
    assert np.concatenate(given_alarms).tolist() == [True, False, True]
    nothing = state.add(np.empty(0), np.empty(0, bool), np.empty(0, np.int64))
    assert [part.tolist() for part in nothing] == [[], []]
    assert (state.on, state.last) == (True, 2)


@pytest.mark.parametrize(
    ("period_s", "shortest_s", "rows"),
    [(60, 0.0, 0), (60, 60.0, 1), (60, 60.1, 2), (60, 119.0, 2), (0.1, 1.1, 11), (0.3, 0.9, 3)],
)
def test_shortest_event_in_rows(period_s, shortest_s, rows):
    grid = Grid(round(period_s * 1e6), 0)
    settings = EventSettings(pause_s=300.0, min_length_s=shortest_s, release=0.7, fade=0.2)
    pause = max(1, int(300 / period_s))
    assert event_rules(settings, 64, grid) == EventRules(pause, rows, 0.7, 0.2)


def test_run_marks_held_rows(shared, bundle):
    """The alarm column of scores.parquet, by the slow twin on the scores that stand beside it."""
    events = shared.config.events.model_copy(update={"release": 0.5, "fade": 0.0})
    config = shared.config.model_copy(update={"events": events})
    made = plant.score_export(config, bundle, [shared.later])
    sharp = shared.config.events.model_copy(update={"fade": 0.0})
    plain = plant.score_export(
        shared.config.model_copy(update={"events": sharp}), bundle, [shared.later]
    )

    table = made.scores.reset_index()
    rows = ((table["time"] - table["time"][0]) // pd.Timedelta(minutes=1)).to_numpy()
    limit, pause = bundle.fitted.limit.value, bundle.fitted.scorer.window
    expected = naive.held_alarms(rows, table["causal_score"], table["scorable"], limit, pause, 0.5)
    assert np.flatnonzero(table["alarm"]).tolist() == expected
    assert made.scores["alarm"].sum() > plain.scores["alarm"].sum()
    assert len(made.result.events) <= len(plain.result.events)


def test_examples_are_true():
    assert doctest.testmod(alarms).failed == 0
