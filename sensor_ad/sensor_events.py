"""Masked sensors and events come in; the sensors' own events among the others go out.

A faulty sensor is one event, from its first bad row to its last masked one. What it had raised
before the fault was certain, and at its recovery, is part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sensor_ad.events import LEADING_SHARE, EventContext, event_id, snippet_of
from sensor_ad.records import Event, EventKind, MaskedSensor, Snippet, TagPart
from sensor_ad.sensor_watch import STUCK, MaskedStretch
from sensor_ad.spool import SpooledRows


def with_sensor_events(
    events: Sequence[Event],
    snippets: Mapping[str, Snippet],
    stretches: Sequence[MaskedStretch],
    rows: SpooledRows,
    context: EventContext,
) -> tuple[list[Event], dict[str, Snippet], tuple[MaskedSensor, ...]]:
    """Add an event for each masked sensor, and take in those that it raised itself.

    Parameters
    ----------
    rows
        The spooled rows around all alarms, and around the rows from which sensors were masked.

    Returns
    -------
    Events in time order, by id the rows around each, and the masked sensors.
    """
    left, shown, masked = list(events), dict(snippets), []
    for stretch in stretches:
        sensor = _sensor(stretch, context)
        own = [event for event in left if _raised_by(event, sensor, context)]
        left = [event for event in left if event not in own]
        for event in own:
            shown.pop(event.id, None)
        event = _event(sensor, own, context)
        left.append(event)
        first, last = stretch.start - context.margin, stretch.confirmed + 2 * context.margin
        shown[event.id] = snippet_of(rows.between(first, last), context)
        masked.append(sensor)
    left.sort(key=lambda event: (event.start_us, event.id))
    return left, shown, tuple(masked)


def _sensor(stretch: MaskedStretch, context: EventContext) -> MaskedSensor:
    start, confirmed, end = (
        int(context.grid.time_us(np.array(row)))
        for row in (stretch.start, stretch.confirmed, stretch.end)
    )
    kind: EventKind = "stuck sensor" if stretch.cause == STUCK else "failed sensor"
    return MaskedSensor(
        # Several sensors may fail at once, as those of one cabinet do.
        event=f"{event_id(start)}-{stretch.column + 1}",
        tag=context.tags[stretch.column],
        kind=kind,
        value=stretch.value,
        start_us=start,
        confirmed_us=confirmed,
        end_us=end,
        open=stretch.open,
    )


def _raised_by(event: Event, sensor: MaskedSensor, context: EventContext) -> bool:
    """Whether an event shows nothing but a sensor's fault, its beginning or its recovery."""
    before = context.rules.pause * context.grid.period_us
    after = context.margin * context.grid.period_us  # evidence is smoothed over a window
    part = event.tags[0]
    return (
        part.tag == sensor.tag
        and part.share >= LEADING_SHARE
        and event.start_us >= sensor.start_us - before
        and event.end_us <= sensor.end_us + after
    )


def _event(sensor: MaskedSensor, own: Sequence[Event], context: EventContext) -> Event:
    """Make a sensor's event; without any alarm it stands at the limit."""
    worst = max(own, key=lambda event: event.peak, default=None)
    if worst is None:
        parts = [TagPart(sensor.tag, 1.0, sensor.start_us)]
        parts += [TagPart(tag, 0.0, None) for tag in context.tags if tag != sensor.tag]
        worst = Event(
            id=sensor.event,
            start_us=sensor.start_us,
            end_us=sensor.end_us,
            raised_us=sensor.confirmed_us,
            faded_us=sensor.end_us,
            open=sensor.open,
            peak=context.limit,
            peak_us=sensor.confirmed_us,
            severity=1.0,
            level="low",
            alarm_rows=0,
            kind=sensor.kind,
            sensor=sensor.tag,
            tags=tuple(parts),
            evidence=dict.fromkeys(context.evidence_names, 0.0),
        )
    highest = {
        name: max([worst.evidence[name], *(event.evidence[name] for event in own)])
        for name in worst.evidence
    }
    return replace(
        worst,
        id=sensor.event,
        start_us=min([sensor.start_us, *(event.start_us for event in own)]),
        end_us=max([sensor.end_us, *(event.end_us for event in own)]),
        raised_us=min([sensor.confirmed_us, *(event.raised_us for event in own)]),
        faded_us=max([sensor.end_us, *(event.faded_us for event in own)]),
        open=sensor.open,
        alarm_rows=sum(event.alarm_rows for event in own),
        kind=sensor.kind,
        sensor=sensor.tag,
        evidence=highest,
    )
