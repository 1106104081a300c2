"""A drift that raised no event of its own is one."""

from dataclasses import replace

import numpy as np
import pytest
from fake_run import LIMIT, TAGS, make_event

from sensor_ad.alarms import EventRules
from sensor_ad.drift_events import with_drift_events
from sensor_ad.events import EventContext
from sensor_ad.grid import Grid
from sensor_ad.slow_change import SlowChange
from sensor_ad.slow_tag import LASTING, Drift, TagChange

DAY = 86_400_000_000
HOUR = DAY // 24
NAMES = tuple(tag.name for tag in TAGS)
C = len(NAMES)
PERIOD = 60_000_000


class Normal:
    """All that is asked of what is normal: half a unit of each tag."""

    band = np.full(C, 0.5)


def drift(start, end, farthest=1.5, still=False):
    return Drift(start, end, still, farthest, farthest, 0.1, "growing", farthest)


def change(tag, *drifts, status="drift"):
    one = TagChange(tag, "bar", status, 5.0, 4.0, 6.0, 1.5, None, False, drifts)
    return SlowChange(NAMES, None, Normal(), np.empty((0, C)), (one,), DAY, 3 * DAY)


def context():
    return EventContext(
        grid=Grid(PERIOD, 0), tags=NAMES, kinds=("continuous",) * C,
        evidence_names=("pattern",), limit=LIMIT, rules=EventRules(64), last_row=10**6,
        longest_hold=np.ones(C), band=np.ones(C), spike_band=np.ones(C), margin=9, late=9,
    )  # fmt: skip


def test_drift_without_an_event_is_one():
    events = with_drift_events([], change(NAMES[2], drift(10 * DAY, 14 * DAY)), context())

    (event,) = events
    assert (event.kind, event.sensor, event.tags[0].tag) == ("drift", NAMES[2], NAMES[2])
    assert [part.share for part in event.tags] == [1.0, *[0.0] * (C - 1)]
    assert (event.start_us, event.end_us) == (10 * DAY, 14 * DAY - PERIOD)
    assert event.raised_us == 10 * DAY + int(LASTING * DAY), "when it was certain"
    assert event.severity == pytest.approx(3.0), "times its normal band"
    assert event.peak == pytest.approx(3.0 * LIMIT)
    assert (event.level, event.open, event.alarm_rows) == ("high", False, 0)
    assert event.id == "E19700111T000000-drift-3"


def test_drift_that_an_event_tells_is_no_second_one():
    told = replace(make_event(1, 0, 2, 2.0, TAGS, (2, 0)), start_us=11 * DAY, end_us=12 * DAY)
    later = drift(20 * DAY, 24 * DAY, still=True)
    found = with_drift_events([told], change(NAMES[2], drift(10 * DAY, 14 * DAY), later), context())
    assert [(event.kind, event.start_us, event.open) for event in found] == [
        ("machine", 11 * DAY, False), ("drift", 20 * DAY, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "status", ["beyond training", "unclear", "normal change", "as in training"]
)
def test_what_is_no_drift_is_no_event(status):
    assert with_drift_events([], change(NAMES[2], status=status), context()) == []
