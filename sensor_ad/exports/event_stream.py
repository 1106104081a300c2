"""Archived values of many tags in, in any order; one stream of readings out, with an account.

The events go through three passes, all of bounded memory: laid aside and sorted by time; merged,
counted and laid aside again by tag, stretch of time by stretch; read once more and turned into
rows. A row needs the event before it and the one after it, however far: the last events are carried
along, and the first events of every stretch were remembered in the second pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensor_ad.exports.blocks import Events, matrix
from sensor_ad.exports.day_spool import BUFFER_BYTES, TABLE_BYTES, DaySpool, stable_order
from sensor_ad.exports.event_merge import Archived, one_event_per_time
from sensor_ad.exports.event_rules import EventSettings, Found, TagRule, find_rules, notes
from sensor_ad.exports.event_survey import Survey
from sensor_ad.exports.order import MOST_ROWS_PER_CHUNK
from sensor_ad.exports.pieces import LaidAside, PieceFile
from sensor_ad.exports.resample import Between, resample, states
from sensor_ad.exports.tally import Tally
from sensor_ad.records import Ints, Quality, Readings

MOST_CELLS_PER_CHUNK = 1 << 21
"""Values handed out at a time."""
SCHEMA = pa.schema(
    [
        ("time_us", pa.int64()),
        ("tag", pa.int32()),
        ("value", pa.float64()),
        ("quality", pa.uint8()),
    ]
)
NEVER = np.iinfo(np.int64).min


class EventImport(LaidAside):
    """Takes events as they are read; a context manager, which removes what it laid aside.

    Parameters
    ----------
    folder
        Where files of about the size of the events are laid aside.
    settings
        What the engineer says.
    tally
        Its counts of dropped, sorted and kept rows grow; `rows_in` is counted by the reader.
    buffer_bytes, table_bytes
        Memory for what is laid aside and for what is read back; never change what comes out.
    """

    def __init__(
        self,
        folder: Path,
        settings: EventSettings,
        tally: Tally,
        buffer_bytes: int = BUFFER_BYTES,
        table_bytes: int = TABLE_BYTES,
    ):
        super().__init__(folder)
        self._settings, self._tally = settings, tally
        self._spool = DaySpool(self.folder, buffer_bytes)
        self._table_bytes = table_bytes
        self._latest: Ints = np.empty(0, np.int64)
        """(tags so far,) latest time of each tag."""

    def close(self) -> None:
        """Remove what was laid aside; readings can be read no more."""
        self._spool.close()
        super().close()

    def add(self, events: Events) -> None:
        """Take events in any order; a number that is none (NaN, infinite) counts as bad."""
        if len(events.time_us) == 0:
            return
        tag = np.asarray(events.tag, np.int32)
        values, quality, _ = states(np.asarray(events.values, np.float64), events.quality)
        time_us = np.asarray(events.time_us, np.int64)
        self._tally.sorted += self._late(time_us, tag)
        arrays = [pa.array(column) for column in (time_us, tag, values, quality)]
        self._spool.add(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))

    def finish(self, rules: Sequence[TagRule]) -> EventStream:
        """Merge and count what was added, and say how it becomes readings.

        Parameters
        ----------
        rules
            One for each tag, by its number.

        Raises
        ------
        DataError
            Events of a tag differ at one time, and the settings do not say which counts.
        """
        if len(self._latest) > len(rules):
            raise ValueError(f"{len(self._latest)} tags have events, {len(rules)} have rules")
        names = tuple(rule.name for rule in rules)
        survey = Survey(len(rules))
        store = _Store(PieceFile(self.folder / "merged.parquet", SCHEMA))
        try:
            for table in self._spool.tables(self._table_bytes):
                events = _by_time(table)
                distinct = events.time_us[np.append(True, np.diff(events.time_us) > 0)]
                merged = one_event_per_time(
                    _by_tag(events), names, self._settings.duplicates, self._tally
                )
                survey.add(merged, distinct)
                store.append(merged, int(distinct[0]))
                self._tally.kept += len(merged.tag)
        finally:
            store.file.close()
        self._spool.close()
        found = find_rules(survey, rules, self._settings)
        for sentence in notes(found, self._settings) if survey.distinct_times else ():
            self._tally.note(sentence)
        return EventStream(names, found, self._settings, store, survey)

    def _late(self, time_us: Ints, tag: Ints) -> int:
        """Count events that stand behind a later one of their tag."""
        known = int(tag.max()) + 1
        if known > len(self._latest):
            more = np.full(known - len(self._latest), NEVER)
            self._latest = np.append(self._latest, more)
        order = _tag_order(tag)
        time_us, tag = (time_us, tag) if order is None else (time_us[order], tag[order])
        starts = np.flatnonzero(np.append(True, tag[1:] != tag[:-1]))
        ends = np.append(starts[1:], len(tag))
        latest = self._latest[tag[starts]]
        falls = np.append(False, (time_us[1:] < time_us[:-1]) & (tag[1:] == tag[:-1]))
        disorder = np.logical_or.reduceat(falls, starts) | (time_us[starts] < latest)
        late = 0
        for k in np.flatnonzero(disorder):
            part = time_us[starts[k] : ends[k]]
            late += int((part < np.maximum(np.maximum.accumulate(part), latest[k])).sum())
        highest = np.maximum.reduceat(time_us, starts)
        self._latest[tag[starts]] = np.maximum(latest, highest)
        return late


class _Store:
    """Merged events on disk, stretch by stretch, and the first event of each tag in each."""

    def __init__(self, file: PieceFile):
        self.file = file
        self.start_us: list[int] = []
        """Time of the first event of each stretch."""
        self._firsts: list[Archived] = []
        self._joined: tuple[Archived, Ints] | None = None

    def append(self, events: Archived, start_us: int) -> None:
        columns = (events.time_us, events.tag, events.values, events.quality)
        self.file.append(pa.table([pa.array(column) for column in columns], schema=SCHEMA))
        self.start_us.append(start_us)
        self._firsts.append(events.take(np.append(True, events.tag[1:] != events.tag[:-1])))

    def read(self, stretch: int) -> Archived:
        return _by_time(self.file.read([stretch]))

    def next_events(self, stretch: int, tags: int) -> Archived:
        """Return the first event after a stretch of each tag that has one, by tag."""
        if self._joined is None:
            lengths = [len(first.tag) for first in self._firsts]
            joined = _joined(self._firsts)
            at_stretch = joined.tag.astype(np.int64) * len(lengths) + np.repeat(
                np.arange(len(lengths)), lengths
            )
            order: Ints = np.argsort(at_stretch)
            self._joined = joined.take(order), at_stretch[order]
        firsts, key = self._joined
        wanted = np.arange(tags, dtype=np.int64)
        at: Ints = np.searchsorted(key, wanted * len(self.start_us) + stretch + 1)
        inside = at < len(key)
        inside[inside] = firsts.tag[at[inside]] == wanted[inside]
        return firsts.take(at[inside])


class EventStream:
    """Merged events on disk, to be read as readings while the import that made it is open."""

    def __init__(
        self,
        tags: tuple[str, ...],
        found: Found,
        settings: EventSettings,
        store: _Store,
        survey: Survey,
    ):
        self.tags = tags
        self.found = found
        """Which way was taken, the period, each tag's rule and hold."""
        self._settings, self._store, self._survey = settings, store, survey
        self._between = [
            Between(tag.stepped, tag.hold_us, settings.hold_after_last, settings.uncertain_is_bad)
            for tag in found.tags
        ]

    def readings(self) -> Iterator[Readings]:
        """Yield rows in time order, in chunks of bounded size; each call begins anew."""
        if not self.tags:
            return
        way = self._rows_of_times if self.found.way == "pivot" else self._rows_of_grid
        yield from way()

    def _rows_of_times(self) -> Iterator[Readings]:
        """Make a row of each distinct time; where a tag has no event there is no data."""
        C = len(self.tags)
        for stretch in range(len(self._store.start_us)):
            events = self._store.read(stretch)
            order = stable_order(events.time_us)
            events = events if order is None else events.take(order)
            values, quality, _ = states(
                events.values, events.quality, self._settings.uncertain_is_bad
            )
            firsts = np.append(True, np.diff(events.time_us) > 0)
            time_us, row = events.time_us[firsts], np.cumsum(firsts) - 1
            for start, stop in _chunks(len(time_us), C):
                low, high = np.searchsorted(row, [start, stop])
                at = row[low:high] - start, events.tag[low:high]
                cells = np.full((stop - start, C), np.nan)
                kinds = np.full((stop - start, C), np.uint8(Quality.NO_DATA))
                cells[at], kinds[at] = values[low:high], quality[low:high]
                yield Readings(time_us[start:stop], cells, self.tags, kinds)

    def _rows_of_grid(self) -> Iterator[Readings]:
        """Make a row of each multiple of the period that lies near enough after an event."""
        C = len(self.tags)
        carried = _joined([])
        for stretch in range(len(self._store.start_us)):
            events = self._store.read(stretch)
            after = self._store.next_events(stretch, C)
            around = _joined([carried, events, after])
            around = around.take(np.argsort(around.tag, kind="stable"))
            edges = np.searchsorted(around.tag, np.arange(C + 1))
            rows = self._grid_rows(stretch, events)
            for start, stop in _chunks(rows.total, C):
                grid_us = rows.between(start, stop)
                columns = [
                    self._column(tag, around, slice(edges[tag], edges[tag + 1]), grid_us)
                    for tag in range(C)
                ]
                values = matrix([column[0] for column in columns], len(grid_us))
                quality = np.stack([column[1] for column in columns], axis=1)
                yield Readings(grid_us, values, self.tags, quality)
            lasts = np.append(events.tag[1:] != events.tag[:-1], True)
            both = _joined([carried, events.take(lasts)])
            both = both.take(np.argsort(both.tag, kind="stable"))
            carried = both.take(np.append(both.tag[1:] != both.tag[:-1], True))

    def _column(self, tag: int, events: Archived, part: slice, grid_us: Ints) -> tuple[Any, Any]:
        return resample(
            events.time_us[part],
            events.values[part],
            events.quality[part],
            grid_us,
            self._between[tag],
        )

    def _grid_rows(self, stretch: int, events: Archived) -> _GridRows:
        """Return the rows of a stretch: up to the longest quiet time after each event."""
        period = self.found.period_us or 1
        time_us = np.sort(events.time_us)
        starts = self._store.start_us
        last = stretch + 1 == len(starts)
        end_us = int(time_us[-1]) + 1 if last else starts[stretch + 1]
        gaps = np.diff(time_us, append=end_us)
        breaks = gaps > self.found.quiet_us
        first_us = time_us[np.append(True, breaks[:-1])]
        # The last event before each break, and the last one of the stretch.
        at = breaks.copy()
        at[-1] = True
        reach = np.minimum(time_us[at] + self.found.quiet_us, time_us[at] + gaps[at] - 1)
        return _GridRows(-(-first_us // period), reach // period, period)


class _GridRows:
    """Stretches of grid rows, of which a part can be made at a time."""

    def __init__(self, first: Ints, last: Ints, period_us: int):
        some = last >= first
        self._first = first[some]
        self._ends = np.cumsum(last[some] - self._first + 1)
        self._period_us = period_us
        self.total = int(self._ends[-1]) if len(self._ends) else 0

    def between(self, start: int, stop: int) -> Ints:
        """Return the times of rows `start` to `stop` (not included), UTC microseconds."""
        number = np.arange(start, stop)
        at = np.searchsorted(self._ends, number, side="right")
        begin = np.append(0, self._ends)[at]
        times: Ints = (self._first[at] + number - begin) * self._period_us
        return times


def _chunks(rows: int, tags: int) -> Iterator[tuple[int, int]]:
    step = max(1, min(MOST_ROWS_PER_CHUNK, MOST_CELLS_PER_CHUNK // tags))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _by_time(table: Any) -> Archived:
    columns = [table.column(name).combine_chunks().to_numpy() for name in SCHEMA.names]
    return Archived(*columns)


def _by_tag(events: Archived) -> Archived:
    """Sort by tag, at one tag as they come."""
    order = _tag_order(events.tag)
    return events if order is None else events.take(order)


def _tag_order(tag: Ints) -> Ints | None:
    if tag[0] == tag[-1] and (tag == tag[0]).all():
        return None
    # Short numbers go through a radix sort.
    short = tag.astype(np.uint16) if int(tag.max()) <= np.iinfo(np.uint16).max else tag
    return np.argsort(short, kind="stable")


def _joined(parts: Sequence[Archived]) -> Archived:
    if not parts:
        return Archived(
            np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0), np.empty(0, np.uint8)
        )
    return Archived(
        np.concatenate([part.time_us for part in parts]),
        np.concatenate([part.tag for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )
