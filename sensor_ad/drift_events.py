"""Tags that drift and events come in; an event for each drift that raised none goes out with them.

A drift of days may stay below the limit all the time: it is too slow for scores that look at hours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sensor_ad.events import EventContext, event_id, level_of
from sensor_ad.records import Event, TagPart
from sensor_ad.slow_change import SlowChange
from sensor_ad.slow_tag import LASTING, Drift
from sensor_ad.slow_words import part_of


def with_drift_events(
    events: Sequence[Event], change: SlowChange, context: EventContext
) -> list[Event]:
    """Add an event for each drift without one that its tag leads; in time order.

    Its severity is how many times the normal band of reading − expected was left; it is raised when
    it has lasted for as long as a drift must.
    """
    found = list(events)
    if change.normal is None:
        return found
    for one in change.having("drift"):
        told = part_of(events, one)
        column = change.names.index(one.tag)
        band = float(change.normal.band[column])
        for drift in one.drifts:
            if any(e.start_us <= drift.end_us and drift.start_us <= e.end_us for e in told):
                continue
            certain_us = drift.start_us + int(LASTING * change.span_us)
            found.append(_event(one.tag, column, drift, band, certain_us, context))
    found.sort(key=lambda event: (event.start_us, event.id))
    return found


def _event(
    tag: str, column: int, drift: Drift, band: float, certain_us: int, context: EventContext
) -> Event:
    end_us = max(drift.start_us, drift.end_us - context.grid.period_us)
    raised_us = min(certain_us, end_us)
    severity = max(1.0, float(np.abs(drift.farthest)) / max(band, 1e-300))
    others = (TagPart(name, 0.0, None) for name in context.tags if name != tag)
    return Event(
        id=f"{event_id(drift.start_us)}-drift-{column + 1}",
        start_us=drift.start_us,
        end_us=end_us,
        raised_us=raised_us,
        faded_us=end_us,
        open=drift.open,
        peak=severity * context.limit,
        peak_us=end_us,
        severity=severity,
        level=level_of(severity),
        alarm_rows=0,
        kind="drift",
        sensor=tag,
        tags=(TagPart(tag, 1.0, drift.start_us), *others),
        evidence=dict.fromkeys(context.evidence_names, 0.0),
    )
