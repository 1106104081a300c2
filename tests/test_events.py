"""Scores to events: merging that knows no tiles, ranking, onsets, and what a picture is that of."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import pieces, scored_rows, scored_tile

from sensor_ad.alarms import AlarmState, EventRules
from sensor_ad.events import (
    HIGH,
    MEDIUM,
    SNIPPET_ROWS,
    EventContext,
    EventTracker,
    OpenEvent,
    event_id,
    finish_events,
)
from sensor_ad.grid import Grid
from sensor_ad.run_folder import _go_on, _recent
from sensor_ad.spool import Spool

LIMIT, PAUSE, MARGIN, LATE = 1.0, 4, 20, 30
GRID = Grid(60_000_000, 0)
START = 29_453_760  # 2026-01-01 00:00:00 UTC in minutes
RANDOM = np.random.default_rng(1)


@given(scored_rows(), st.integers(0, 6))
def test_merging_equals_naive_however_cut(case, pause):
    tile, points = case
    tracker = EventTracker(AlarmState(LIMIT, EventRules(pause)))

    alarm = np.concatenate([tracker.add(piece)[0] for piece in pieces(tile, points)])

    groups = naive.merged_alarms(tile.index, tile.causal, tile.scorable, LIMIT, pause)
    assert np.flatnonzero(alarm).tolist() == sorted(k for group in groups for k in group)
    assert len(tracker.events) == len(groups)
    for event, group in zip(tracker.events, groups, strict=True):
        peak = max(group, key=lambda k: tile.causal[k])
        assert (event.start, event.end) == (tile.index[group[0]], tile.index[group[-1]])
        assert (event.peak, event.peak_row) == (tile.causal[peak], tile.index[peak])
        assert (event.alarm_rows, event.faded) == (len(group), event.end)


class Plant:
    """Three tags that follow their expectation but for small noise, in which faults are set."""

    def __init__(self, T=400, hold=1):
        self.index = START + np.arange(T)
        self.expected = np.stack([50 + np.sin(np.arange(T) / 20), 5 + np.zeros(T), np.ones(T)], 1)
        self.actual = self.expected + RANDOM.normal(0, 0.05, (T, 3))
        self.score, self.causal = np.zeros(T), np.zeros(T)
        self.contribution = np.full((T, 3), 0.2)
        self.kinds = ("continuous", "continuous", "few-state")
        self.hold, self.fade = hold, 0.0

    def alarm(self, first, last, score=2.0, **contribution):
        """Raise the score in rows first..last, with contributions of tags a, b, c."""
        rows = slice(first, last + 1)
        self.score[rows] = self.causal[rows] = score
        for tag, value in contribution.items():
            self.contribution[rows, "abc".index(tag)] = value

    def events(self, folder, points=(), min_rows=0, last_row=None):
        tile = scored_tile(self.index, self.score, causal=self.causal.astype(np.float32),
                           actual=self.actual,
                           expected=self.expected.astype(np.float32),
                           contribution=self.contribution.astype(np.float32))  # fmt: skip
        tracker = EventTracker(AlarmState(LIMIT, EventRules(PAUSE, fade=self.fade)))
        spool = Spool(folder / "spool", 3, 2, MARGIN + LATE)
        for piece in pieces(tile, points):
            spool.add(piece, tracker.add(piece)[1])
        last = int(self.index[-1]) if last_row is None else last_row
        return finish_events(tracker.events, spool.close(), self.context(last, min_rows))

    def context(self, last_row, min_rows):
        return EventContext(
            grid=GRID,
            tags=("a", "b", "c"),
            kinds=self.kinds,
            evidence_names=("reconstruction", "nearest"),
            limit=LIMIT,
            rules=EventRules(PAUSE, min_rows),
            last_row=last_row,
            longest_hold=np.array([self.hold] * 3),
            band=np.full(3, 0.5),
            spike_band=np.full(3, 0.5),
            margin=MARGIN,
            late=LATE,
        )


def test_event_says_when_how_high_and_who(tmp_path):
    plant = Plant()
    plant.alarm(100, 129, a=2.0, b=4.0)
    plant.score[110] = plant.causal[110] = 3.5

    events, snippets = plant.events(tmp_path)

    (event,) = events
    assert event.id == "E20260101T014000"
    assert event.start_us == (START + 100) * 60_000_000
    assert event.end_us == (START + 129) * 60_000_000
    assert event.peak_us == (START + 110) * 60_000_000
    assert (event.peak, event.severity, event.level) == (3.5, 3.5, "high")
    assert (event.alarm_rows, event.open, event.kind) == (30, False, "machine")
    assert [part.tag for part in event.tags] == ["b", "a", "c"]
    assert [part.share for part in event.tags] == pytest.approx([0.75, 0.25, 0.0])
    assert event.evidence == {"reconstruction": 3.5, "nearest": -2.0}
    assert list(snippets) == [event.id]


@pytest.mark.parametrize(
    ("severity", "level"),
    [(1.01, "low"), (MEDIUM, "medium"), (HIGH - 0.01, "medium"), (HIGH, "high")],
)
def test_level_follows_severity(tmp_path, severity, level):
    plant = Plant()
    plant.alarm(100, 110, score=severity * LIMIT, a=2)
    assert plant.events(tmp_path)[0][0].level == level


def test_shares_without_any_excess_come_from_the_contributions(tmp_path):
    plant = Plant()
    plant.contribution[:] = 0
    plant.alarm(100, 110, a=0.6, b=0.8)
    shares = {part.tag: part.share for part in plant.events(tmp_path)[0][0].tags}
    assert shares == pytest.approx({"a": 0.36, "b": 0.64, "c": 0.0})


def test_onset_order_tells_who_moved_first(tmp_path):
    plant = Plant()
    plant.alarm(100, 160, a=2.0, b=3.0)
    plant.contribution[90:100, 0] = 1.5
    plant.contribution[70, 1] = 9  # one row is no onset, and lies before the margin
    plant.contribution[95, 1] = 1.2

    (event,), _ = plant.events(tmp_path)

    order = [(part.tag, part.onset_us) for part in event.onset_order]
    assert order == [("a", (START + 90) * 60_000_000), ("b", (START + 100) * 60_000_000)]
    assert next(part for part in event.tags if part.tag == "c").onset_us is None


@pytest.mark.parametrize(
    ("last", "after", "is_open"), [(399, 0, True), (395, 4, True), (394, 5, False)]
)
def test_event_near_the_end_is_open(tmp_path, last, after, is_open):
    plant = Plant()
    plant.alarm(380, last, a=2.0)
    assert 399 - last == after
    assert plant.events(tmp_path)[0][0].open is is_open


@pytest.mark.parametrize(("min_rows", "found"), [(0, 2), (5, 2), (6, 1), (31, 0)])
def test_short_events_are_dropped(tmp_path, min_rows, found):
    plant = Plant()
    plant.alarm(100, 104, a=2.0)
    plant.alarm(200, 229, a=2.0)

    events, snippets = plant.events(tmp_path, min_rows=min_rows)

    assert len(events) == len(snippets) == found


def test_length_counts_from_the_first_alarm_to_the_last(tmp_path):
    """A pause that is bridged is part of the event, and an event that goes on began before."""
    plant = Plant()
    plant.alarm(100, 101, a=2.0)
    plant.alarm(104, 104, a=2.0)
    for min_rows, found in ((5, 1), (6, 0)):
        assert len(plant.events(tmp_path, min_rows=min_rows)[0]) == found
    continued = open_event(START + 3, START + 4)
    _go_on(
        [continued],
        [{"id": "old", "start": START - 1, "end": START + 1, "began": START - 3}],
        PAUSE,
    )
    assert continued.rows == 6


def stuck(plant):
    plant.actual[150:250, 0] = plant.actual[150, 0]
    plant.alarm(155, 249, a=6.0)


def spikes(plant):
    for row in (150, 153, 156, 160):
        plant.actual[row, 0] += 8
        plant.alarm(row, row, a=6.0)


def drop(plant):
    plant.actual[150:200, 0] -= 8
    plant.alarm(150, 199, a=6.0)


def stuck_but_all_tags_differ(plant):
    stuck(plant)
    plant.alarm(155, 249, a=6.0, b=7.0, c=6.5)


def command_held(plant):
    plant.actual[150:250, 2] = 3.0
    plant.alarm(150, 249, c=6.0)


@pytest.mark.parametrize(
    ("fault", "kind", "sensor"),
    [
        (stuck, "stuck sensor", "a"),
        (spikes, "spikes", "a"),
        (drop, "machine", None),
        (stuck_but_all_tags_differ, "machine", None),
        (command_held, "machine", None),
    ],
)
def test_picture(tmp_path, fault, kind, sensor):
    plant = Plant()
    fault(plant)
    (event,), _ = plant.events(tmp_path)
    assert (event.kind, event.sensor) == (kind, sensor)


def test_picture_of_a_tag_that_often_stands_still(tmp_path):
    plant = Plant(hold=60)
    stuck(plant)
    assert plant.events(tmp_path)[0][0].kind == "machine"


@pytest.mark.parametrize("points", [[], [157], [99, 100, 101, 156, 240], list(range(0, 400, 30))])
def test_events_and_pictures_know_no_tiles(tmp_path, points):
    plant = Plant()
    stuck(plant)
    plant.alarm(300, 310, b=3.0)
    whole = plant.events(tmp_path)

    events, snippets = plant.events(tmp_path, points)

    assert events == whole[0]
    for name, snippet in snippets.items():
        for field in ("time_us", "actual", "expected", "contribution", "score", "evidence"):
            np.testing.assert_array_equal(getattr(snippet, field), getattr(whole[1][name], field))


def test_snippet_shows_the_rows_around(tmp_path):
    plant = Plant()
    plant.alarm(100, 129, a=2.0)

    _, snippets = plant.events(tmp_path)

    (snippet,) = snippets.values()
    rows = np.arange(100 - MARGIN, 130 + MARGIN)
    np.testing.assert_array_equal(snippet.time_us, (START + rows) * 60_000_000)
    np.testing.assert_allclose(snippet.actual, plant.actual[rows], rtol=1e-6)
    np.testing.assert_allclose(snippet.contribution, plant.contribution[rows], rtol=1e-6)


def test_snippet_of_a_long_event_is_thinned_to_its_worst_rows(tmp_path):
    plant = Plant(T=4 * SNIPPET_ROWS)
    plant.alarm(100, 4 * SNIPPET_ROWS - 1, a=2.0)
    plant.contribution[5003, 1] = 50.0

    _, snippets = plant.events(tmp_path)

    (snippet,) = snippets.values()
    assert SNIPPET_ROWS / 2 < len(snippet.time_us) <= SNIPPET_ROWS
    assert (np.diff(snippet.time_us) > 0).all()
    assert snippet.contribution.max() == 50.0


def test_event_goes_on_under_its_name(tmp_path):
    sums = OpenEvent(
        start=START, end=START + 2, alarm_rows=3, peak=2.0, peak_row=START + 1, faded=START + 2,
        id="E20251231T235900",
    )  # fmt: skip
    plant = Plant()
    spool = Spool(tmp_path / "spool", 3, 2, MARGIN)
    tile = scored_tile(plant.index, plant.score, actual=plant.actual, expected=plant.expected,
                       contribution=plant.contribution)  # fmt: skip
    spool.add(tile, plant.index <= START + 2)
    context = plant.context(START + 399, 0)

    (event,), _ = finish_events([sums], spool.close(), context)

    assert event.id == "E20251231T235900"


def test_names_follow_time():
    assert event_id(0) == "E19700101T000000"
    assert event_id(START * 60_000_000 + 59_999_999) == "E20260101T000059"


def open_event(start, end):
    return OpenEvent(start, end, end - start + 1, 2.0, start, end)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((10 + PAUSE, 30), ("old", 5)),
        ((11 + PAUSE, 30), ("", 11 + PAUSE)),
        ((3, 30), ("old", 3)),
        ((7, 8), ("old", 5)),
    ],
    ids=["within the pause", "after the pause", "scored again, longer", "scored again, shorter"],
)
def test_event_of_the_export_before_goes_on(rows, expected):
    sums = [open_event(*rows), open_event(100, 110)]
    _go_on(sums, [{"id": "old", "start": 5, "end": 10, "began": 2}], PAUSE)
    assert [(one.id, one.start) for one in sums] == [expected, ("", 100)]
    assert sums[0].began == (2 if expected[0] else None)


def test_events_of_the_export_before_keep_their_own_names():
    before = [
        {"id": "first", "start": 5, "end": 10, "began": 5},
        {"id": "second", "start": 40, "end": 50, "began": 40},
    ]
    sums = [open_event(6, 10), open_event(40, 60)]
    _go_on(sums, before, PAUSE)
    assert [(one.id, one.start) for one in sums] == [("first", 5), ("second", 40)]
    assert len(before) == 2


def test_recent_events_are_left_for_the_next_export():
    sums = [open_event(START, START + 2), open_event(START + 50, START + 60)]
    sums[1].id = "old"
    (old,) = _recent(sums, START + 3, GRID)
    assert old == {
        "id": "old",
        "start": START + 50,
        "end": START + 60,
        "began": START + 50,
        "peak": 2.0,
        "faded": START + 60,
    }
    assert [one["id"] for one in _recent(sums, START + 2, GRID)] == ["E20260101T000000", "old"]


def times(*rows):
    return tuple((START + row) * 60_000_000 for row in rows)


def placed(event):
    return (event.start_us, event.end_us, event.raised_us, event.faded_us)


def test_event_is_raised_late_and_placed_where_it_was(tmp_path):
    plant = Plant()
    plant.alarm(100, 129, a=3.0)
    plant.causal[:] = 0
    plant.causal[115:140] = 5.0
    plant.contribution[130:140, 2] = 50.0  # after it was over: none of its tags

    (event,), snippets = plant.events(tmp_path)

    assert placed(event) == times(100, 129, 115, 139)
    assert event.id == "E20260101T015500", "named by when it was raised: that never changes"
    assert (event.peak, event.alarm_rows) == (5.0, 25)
    assert event.tags[0].tag == "a"
    assert event.tags[0].share == pytest.approx(1.0)
    assert (snippets[event.id].time_us[0], snippets[event.id].time_us[-1]) == times(80, 149)


def test_event_over_before_it_was_raised(tmp_path):
    plant = Plant()
    plant.alarm(100, 100, a=9.0)
    plant.causal[:] = 0
    plant.causal[125] = 5.0
    (event,), _ = plant.events(tmp_path)
    assert placed(event) == times(100, 100, 125, 125)
    assert event.evidence["reconstruction"] == 2.0


def test_event_that_only_the_causal_score_saw_stands_where_it_was_raised(tmp_path):
    plant = Plant()
    plant.causal[125:130] = 5.0
    plant.score[80:90] = 5.0  # longer ago than the causal score may come late
    (event,), _ = plant.events(tmp_path)
    assert placed(event) == times(125, 129, 125, 129)


def test_event_begins_with_its_last_stretch_and_not_with_the_event_before(tmp_path):
    plant = Plant()
    for first, last in ((100, 105), (112, 125)):
        plant.score[first : last + 1] = 2.0
    plant.causal[106:108] = plant.causal[122:126] = 2.0
    events, _ = plant.events(tmp_path)
    assert [placed(event) for event in events] == [times(100, 105, 106, 107),
                                                   times(112, 125, 122, 125)]  # fmt: skip


def test_what_a_fault_leaves_behind_is_part_of_its_event(tmp_path):
    plant = Plant()
    plant.fade = 0.5
    plant.alarm(100, 110, score=21.0, a=9.0)
    plant.alarm(111, 199, score=3.0, a=2.0)
    plant.alarm(150, 152, score=20.0)
    for points in ((), (105, 150), range(90, 210, 7)):
        (event,), _ = plant.events(tmp_path, points)
        assert event.alarm_rows == 14
        assert placed(event) == times(100, 199, 100, 152)


def test_event_that_faded_for_long_ends_where_the_score_does(tmp_path):
    """Longer than pictures show around alarms: its rows are kept, too."""
    plant = Plant()
    plant.fade = 0.5
    plant.alarm(100, 105, score=21.0, a=9.0)
    plant.alarm(106, 350, score=3.0, a=2.0)
    assert 2 * (MARGIN + LATE) < 350 - 105
    (event,), _ = plant.events(tmp_path)
    assert placed(event) == times(100, 350, 100, 105)
