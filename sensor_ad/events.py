"""Scores to events: scored tiles come in one after the other, events with their tags go out.

The causal score raises alarms. Where an event began and ended, and which tags drive it, is told
afterwards by the offline score, from the rows around alarms that went to a spool file: while tiles
pass, next to nothing is kept, so memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from sensor_ad.alarms import AlarmState, EventRules
from sensor_ad.grid import Grid
from sensor_ad.records import Bools, Event, EventKind, Floats, Ints, Snippet, TagPart
from sensor_ad.scoring import ScoredTile
from sensor_ad.spool import SpooledRows

MEDIUM, HIGH = 1.5, 3.0
"""Severity (peak over limit) from which an event is medium or high."""
ONSET_ROWS = 5
"""A tag has left its normal band when it is outside in most of so many rows."""
STUCK_SHARE = 0.6
"""Share of an event's rows that a sensor must stand still to be called stuck …"""
STUCK_HOLD = 3
"""… and for so many times its longest stand-still in training."""
SPIKE_SHARE = 0.8
"""Share of the leading tag's abnormal rows that must be spikes."""
LEADING_SHARE = 0.5
"""A sensor is blamed only if it carries this share of the event."""
NEVER = -1
"""Row of an alarm that was not."""
SNIPPET_ROWS = 3000
"""Rows of an event that are kept for pictures."""


@dataclass
class OpenEvent:
    """Alarms grouped in time."""

    start: int
    end: int
    """First alarm row, and last row above the limit, alarm or faded (grid rows)."""
    alarm_rows: int
    peak: float
    """Highest causal score."""
    peak_row: int
    faded: int
    """Last alarm row."""
    id: str = ""
    """Given when it goes on from the export before."""
    began: int | None = None
    """First row by the offline score, once that is known."""

    @property
    def rows(self) -> int:
        """Grid rows from the first alarm to the last row above the limit, pauses among them."""
        return self.end - self.start + 1


@dataclass
class EventTracker:
    """Merges alarms into events while tiles pass."""

    state: AlarmState
    """Which rows are alarms, and when these are one event."""
    events: list[OpenEvent] = field(default_factory=list)

    def add(self, tile: ScoredTile) -> tuple[Bools, Bools]:
        """Take the next tile; returns (T,) which rows are alarms, and which are within events."""
        alarm, faded = self.state.add(tile.causal, tile.scorable, tile.index)
        within: Bools = alarm | faded
        at = np.flatnonzero(within)
        if len(at):
            index = tile.index[at]
            starts = np.concatenate([[0], np.flatnonzero(np.diff(index) > self._pause) + 1])
            stops = np.concatenate([starts[1:], [len(at)]])
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                self._merge(_open(tile, at[start:stop], alarm))
        return alarm, within

    @property
    def _pause(self) -> int:
        return self.state.rules.pause

    def _merge(self, new: OpenEvent) -> None:
        last = self.events[-1] if self.events else None
        if last is None or new.start - last.end > self._pause:
            self.events.append(new)
            return
        if new.peak > last.peak:
            last.peak, last.peak_row = new.peak, new.peak_row
        last.end, last.faded = new.end, max(last.faded, new.faded)
        last.alarm_rows += new.alarm_rows


def _open(tile: ScoredTile, at: Ints, alarm: Bools) -> OpenEvent:
    score, raised = tile.causal[at], at[alarm[at]]
    peak = int(score.argmax())
    return OpenEvent(
        start=int(tile.index[at[0]]),
        end=int(tile.index[at[-1]]),
        alarm_rows=len(raised),
        peak=float(score[peak]),
        peak_row=int(tile.index[at[peak]]),
        faded=int(tile.index[raised[-1]]) if len(raised) else NEVER,
    )


@dataclass(frozen=True)
class EventContext:
    """What is needed to turn sums into events."""

    grid: Grid
    tags: tuple[str, ...]
    kinds: tuple[str, ...]
    evidence_names: tuple[str, ...]
    limit: float
    rules: EventRules
    last_row: int
    """Last grid row of the export: an event that reaches it within the pause is open."""
    longest_hold: Ints
    """(C,) longest stand-still in training, rows."""
    band: Floats
    """(C,) half width of the normal band, plant units."""
    spike_band: Floats
    """(C,) how far a row normally stands out from both its neighbours, plant units."""
    margin: int
    """Rows before and after an event that pictures show."""
    late: int
    """Rows by which the causal score may come late."""


def finish_events(
    sums: list[OpenEvent], rows: SpooledRows, context: EventContext
) -> tuple[list[Event], dict[str, Snippet]]:
    """Name, rank and classify events.

    Parameters
    ----------
    sums
        In time order.
    rows
        The spooled rows around all alarms.
    context
        The model's side.

    Returns
    -------
    Events in time order, and by id the rows around each for pictures.
    """
    events, snippets, after = [], {}, None
    for one in sums:
        if one.rows < context.rules.min_rows:
            continue
        start, end = located(one, rows, context, after)
        one.began = start
        after = max(start, end)
        around = rows.between(start - context.margin, max(end, one.start) + context.margin)
        event = _finish(one, start, end, around, context)
        events.append(event)
        snippets[event.id] = snippet_of(around, context)
    return events, snippets


def located(
    one: OpenEvent, rows: SpooledRows, context: EventContext, after: int | None
) -> tuple[int, int]:
    """First and last row of an event by the offline score, which needs not wait for what comes.

    Its stretch above the limit that was the last to begin before the alarm begins the event, be it
    over by then. Where there is none, the alarm itself does.

    Parameters
    ----------
    after
        Last row of the event before, which this one does not reach.
    """
    first = one.start - context.late
    part = rows.between(first if after is None else max(first, after + 1), one.end)
    high = part.index[np.nan_to_num(part.score, nan=-np.inf) > context.limit]
    if not len(high):
        return one.start if one.began is None else one.began, one.end
    starts = high[np.concatenate([[0], np.flatnonzero(np.diff(high) > context.rules.pause) + 1])]
    before = starts[starts <= one.start]
    start = int(before[-1]) if len(before) else one.start
    if one.began is not None:
        start = min(start, one.began)
    return start, max(start, int(high[-1]))


def level_of(severity: float) -> Literal["low", "medium", "high"]:
    """Name how severe an event is."""
    return "high" if severity >= HIGH else "medium" if severity >= MEDIUM else "low"


def event_id(start_us: int) -> str:
    """Name an event after its first alarm row; events of one asset never share it."""
    return datetime.fromtimestamp(start_us / 1e6, UTC).strftime("E%Y%m%dT%H%M%S")


def _finish(
    one: OpenEvent, start: int, end: int, around: SpooledRows, context: EventContext
) -> Event:
    inside = around.between(start, end)
    excess, total, evidence = _sums(inside, context.limit)
    weights = excess if excess.sum() > 0 else total
    shares = weights / max(float(weights.sum()), 1e-12)
    order = np.argsort(-shares, kind="stable")
    onsets = _onsets(around, end, int(order[0]))
    kind, sensor = _picture(inside, around, int(order[0]), float(shares[order[0]]), context)
    start_us, end_us, peak_us, raised_us, faded_us = (
        int(context.grid.time_us(np.array(row)))
        for row in (start, end, one.peak_row, one.start, one.faded)
    )
    severity = one.peak / max(context.limit, 1e-12)
    return Event(
        id=one.id or event_id(raised_us),
        start_us=start_us,
        end_us=end_us,
        raised_us=raised_us,
        faded_us=faded_us,
        open=context.last_row - one.end <= context.rules.pause,
        peak=one.peak,
        peak_us=peak_us,
        severity=severity,
        level=level_of(severity),
        alarm_rows=one.alarm_rows,
        kind=kind,
        sensor=sensor,
        tags=tuple(
            TagPart(
                context.tags[c],
                float(shares[c]),
                None if onsets[c] is None else int(context.grid.time_us(np.array(onsets[c]))),
            )
            for c in order
        ),
        evidence=dict(zip(context.evidence_names, map(float, evidence), strict=True)),
    )


def _sums(inside: SpooledRows, limit: float) -> tuple[Floats, Floats, Floats]:
    """(C,) summed contributions above normal, (C,) summed squares, (E,) highest evidence.

    Of the rows with a score above the limit; of all, when there is none.
    """
    both = np.fmax(inside.score, inside.causal)
    high = np.flatnonzero(np.nan_to_num(both, nan=-np.inf) > limit)
    rows = inside.take(high) if len(high) else inside
    contribution = rows.contribution.astype(np.float64)
    excess = np.maximum(contribution - 1.0, 0.0).sum(axis=0)
    return excess, np.square(contribution).sum(axis=0), rows.evidence.max(axis=0)


def _onsets(around: SpooledRows, end: int, leading: int) -> list[int | None]:
    """Row at which each tag left its normal band for good (the leading tag: at all)."""
    within = around.index <= end
    outside = around.contribution[within] > 1.0
    index = around.index[within]
    onsets: list[int | None] = []
    for c in range(outside.shape[1]):
        column = outside[:, c]
        kernel = np.ones(min(ONSET_ROWS, max(len(column), 1)))
        ahead = np.convolve(column, kernel)[len(kernel) - 1 :] if len(column) else column
        lasting = np.flatnonzero(column & (ahead > len(kernel) / 2))
        if not len(lasting) and c == leading:
            lasting = np.flatnonzero(column)
        onsets.append(int(index[lasting[0]]) if len(lasting) else None)
    return onsets


def _picture(
    within: SpooledRows, around: SpooledRows, leading: int, share: float, context: EventContext
) -> tuple[EventKind, str | None]:
    """Tell whether an event is the picture of one stuck, failed or spiking sensor."""
    if share < LEADING_SHARE or context.kinds[leading] != "continuous":
        return "machine", None
    name = context.tags[leading]
    inside = (around.index >= within.index[0]) & (around.index <= within.index[-1])
    actual, expected = around.actual[:, leading], around.expected[:, leading]
    hold = _longest_hold(actual)
    usual = int(context.longest_hold[leading])
    if hold > max(STUCK_HOLD * usual, ONSET_ROWS) and hold >= STUCK_SHARE * inside.sum():
        return "stuck sensor", name
    residual = actual - expected
    spikes = _prominence(residual) > context.spike_band[leading]
    outside = inside & (around.contribution[:, leading] > 1.0)
    if (outside & spikes).sum() >= SPIKE_SHARE * outside.sum() > 0:
        return "spikes", name
    return "machine", None


def _prominence(values: Floats) -> Floats:
    """(T,) how far each row stands out from both its neighbours, on the same side of both."""
    rise = np.diff(values, prepend=np.nan, append=np.nan)
    before, after = rise[:-1], -rise[1:]
    smaller = np.minimum(np.abs(before), np.abs(after))
    return np.where(before * after > 0, smaller, 0.0)


def _longest_hold(values: Floats) -> int:
    """Longest stretch of equal neighbouring values, rows."""
    if len(values) < 2:
        return len(values)
    lengths = _run_lengths(values[1:] == values[:-1])
    return int(lengths.max()) + 1 if len(lengths) else 1


def _run_lengths(flags: Bools) -> Ints:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return edges[1::2] - edges[::2]


def snippet_of(around: SpooledRows, context: EventContext) -> Snippet:
    """Thin rows for pictures: of each few rows the most abnormal one is kept."""
    rows = around
    every = -(-len(rows.index) // SNIPPET_ROWS)
    if every > 1:
        worst = rows.contribution.max(axis=1)
        usable = len(worst) // every * every
        picks = worst[:usable].reshape(-1, every).argmax(axis=1)
        rows = rows.take(np.arange(0, usable, every) + picks)
    return Snippet(
        time_us=context.grid.time_us(rows.index),
        actual=rows.actual,
        expected=rows.expected,
        band=context.band,
        contribution=rows.contribution,
        score=rows.score,
        causal=rows.causal,
        evidence=rows.evidence,
    )
