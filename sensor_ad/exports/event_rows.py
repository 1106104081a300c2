"""Files of single values in, their events out, block by block: how is decided by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, Events, Plan, quality_of, time_wanted
from sensor_ad.exports.cells import ABSURD
from sensor_ad.exports.layouts import Layout, Pair, TimeColumns
from sensor_ad.exports.quality_codes import decode
from sensor_ad.exports.row_times import RowTimes
from sensor_ad.exports.sources import Source, column_blocks, signs_of
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.values import ValueReader
from sensor_ad.exports.vocabulary import folded, meaning
from sensor_ad.records import Bools, Floats, Ints, Quality

MARKER = r"^\$RT_\w+\$$"
"""Names under which WinCC writes when a recorder was started, stopped or switched off."""
MARKERS = "marker row of the recorder"
NO_NAME = "row without the name of a tag"
NO_EVENTS = "row of a tag without events"
"""Reasons for dropping a row."""


@dataclass(frozen=True)
class Reading:
    """How the events of an export are read."""

    layout: Layout
    plan: Plan
    """Its times; it names no tags."""
    codes: str | None
    """Whose quality codes they are; None: there are none."""
    tags: Mapping[str, int]
    """Tag -> its number."""
    states: Mapping[int, Mapping[str, int]]
    """Number of a digital tag -> folded state -> number of the state."""


class FileReader:
    """Turns one file's columns into events."""

    def __init__(self, source: Source, reading: Reading, block_bytes: int, tally: Tally) -> None:
        self.source, self.reading, self.tally = source, reading, tally
        self.block_bytes = block_bytes
        self.scratch = Tally()
        """Of the reader of lines, whose rows are not events."""
        self.values = ValueReader(signs_of(source), reading.plan.texts)
        pairs = reading.layout.pairs
        plans = [replace(reading.plan, time=TimeColumns(pair.time)) for pair in pairs]
        name = source.path.name
        self.times = [RowTimes(name, plan, 0, tally) for plan in plans or [reading.plan]]

    def events(self) -> Iterator[Events]:
        """Yield the events of the file, in file order."""
        layout, plan = self.reading.layout, self.reading.plan
        wanted = dict.fromkeys(event_columns(self.reading.layout, time=True), pa.string())
        if layout.time is not None:
            wanted |= time_wanted(layout.time, plan.time_formats)
        if not self.reading.states:
            values = (*(pair.value for pair in layout.pairs), layout.value)
            wanted |= {name: pa.float64() for name in values if name is not None}
        for part in column_blocks(self.source, wanted, plan.stamp, self.block_bytes, self.scratch):
            if layout.kind == "paired":
                yield from self._paired(part)
            else:
                self.tally.rows_in += len(part.ordinals)
                yield self._single(part)
        for times in self.times:
            times.finish()
        self.tally.rows_in += sum(self.scratch.dropped.values())
        self.tally.take(self.scratch)

    def _single(self, part: Columns) -> Events:
        """Make events of a long table, or of the file of one tag."""
        layout = self.reading.layout
        if layout.tag is not None:
            part = self._named(part)
        part, time_us = self.times[0].of(part)
        table = part.table
        if layout.tag is None:
            codes = np.full(len(time_us), self.reading.tags.get(self.source.path.stem, -1))
        else:
            places, names = encoded(table[layout.tag])
            codes = np.array([self.reading.tags.get(name, -1) for name in names], np.int64)[places]
        quality = None if layout.quality is None else table[layout.quality]
        return self._events(part, time_us, codes, table[layout.value], quality)

    def _named(self, part: Columns) -> Columns:
        """Drop the recorder's own rows, and rows that name no tag."""
        names = pc.utf8_trim_whitespace(pc.fill_null(part.table[self.reading.layout.tag], ""))
        for reason, pattern in ((MARKERS, MARKER), (NO_NAME, "^$")):
            flags = np.asarray(pc.match_substring_regex(names, pattern))
            if flags.any():
                first = int(np.flatnonzero(flags)[0])
                where = f"{part.file}, {part.where(first)}"
                self.tally.drop(reason, where, int(flags.sum()))
                part, names = part.filtered(~flags), names.filter(pa.array(~flags))
        return part

    def _paired(self, part: Columns) -> Iterator[Events]:
        """Make events of tables in which each tag has a time of its own."""
        for pair, times in zip(self.reading.layout.pairs, self.times, strict=True):
            if pair.tag not in self.reading.tags:
                continue
            own = _pair(part, pair)
            self.tally.rows_in += len(own.ordinals)
            own, time_us = times.of(own)
            codes = np.full(len(time_us), self.reading.tags[pair.tag])
            yield self._events(own, time_us, codes, own.table[pair.value], None)
        for pair in self.reading.layout.silent:
            self._silent(_pair(part, pair), pair)

    def _silent(self, own: Columns, pair: Pair) -> None:
        """Count the rows that say that a tag has no events; refuse events after all."""
        self.tally.rows_in += len(own.ordinals)
        for k, text in enumerate(own.table[pair.time].to_pylist()):
            if meaning(text or "") is None:
                raise DataError(
                    f"{own.file}, {own.where(k)}, column {quoted(pair.time)}: "
                    f"{quoted(text or '')}, expected no time as in the first rows: export the tags "
                    "with events and those without apart."
                )
        if len(own.ordinals):
            self.tally.drop(NO_EVENTS, f"{own.file}, {own.where(0)}", len(own.ordinals))

    def _events(
        self, part: Columns, time_us: Ints, codes: Ints, column: Any, quality: Any | None
    ) -> Events:
        values, kinds = self._read(part, codes, column)
        values, kinds = self._without_absurd(part, codes, values, kinds)
        if quality is not None:
            assert self.reading.codes is not None
            told, unknown = decode(quality, self.reading.codes)
            self._note_codes(part, quality, unknown)
            worse = (told > kinds) | (told == Quality.BAD)  # bad without a value is bad as well
            kinds = np.where(worse, told, kinds).astype(np.uint8)
            values = np.where(kinds >= Quality.BAD, np.nan, values)
        keep = codes >= 0
        if not keep.all():  # tags that are left out on purpose
            self.tally.dropped["tag that is left out"] += int((~keep).sum())
        return Events(
            part.file,
            time_us[keep],
            codes[keep].astype(np.int32),
            values[keep],
            kinds[keep],
            part.ordinals[keep] + 1,
            part.bytes_read,
        )

    def _read(self, part: Columns, codes: Ints, column: Any) -> tuple[Floats, Ints]:
        """Return the values of events and their quality, of digital tags by their states."""
        if pa.types.is_floating(column.type):
            values = column.combine_chunks().to_numpy(zero_copy_only=False)
            return values, quality_of(values, None)
        found = self.values.read(column)
        values, kinds = found.values, found.quality
        states = self.reading.states
        if states:
            digital = np.isin(codes, [*states])
            self._digital(digital, codes, column, values, kinds)
        self._note_texts(part, codes, column, values, kinds)
        return values, kinds

    def _without_absurd(
        self, part: Columns, codes: Ints, values: Floats, kinds: Ints
    ) -> tuple[Floats, Ints]:
        """Make numbers beyond every plant unit bad, and count them by tag."""
        absurd = np.abs(values) > ABSURD
        if not absurd.any():
            return values, kinds
        names = {number: name for name, number in self.reading.tags.items()}
        for code in np.unique(codes[absurd & (codes >= 0)]):
            rows = np.flatnonzero(absurd & (codes == code))
            name = names[int(code)]
            self.tally.absurd[name] += len(rows)
            said = f"{values[rows[0]]:g} in {part.file}, {part.where(int(rows[0]))}"
            self.tally.firsts.setdefault(("absurd", name), said)
        return np.where(absurd, np.nan, values), np.where(absurd, np.uint8(Quality.BAD), kinds)

    def _digital(
        self, digital: Bools, codes: Ints, column: Any, values: Floats, kinds: Ints
    ) -> None:
        """Put the numbers of states into the rows of digital tags (arrays made for this block)."""
        rows = np.flatnonzero(digital)
        if not len(rows):
            return
        texts, words = encoded(column.take(pa.array(rows)))
        pairs, places = np.unique(np.stack([codes[rows], texts]), axis=1, return_inverse=True)
        numbers = np.full(pairs.shape[1], np.nan)
        for k, (tag, text) in enumerate(pairs.T):
            states = self.reading.states[int(tag)]
            word = folded(words[text])
            if word in states:
                numbers[k] = states[word]
            elif word.isascii() and word.isdigit() and int(word) < len(states):
                numbers[k] = int(word)
        given = numbers[places.ravel()]
        known = np.isfinite(given)
        values[rows] = given
        kinds[rows[known]] = Quality.GOOD
        lost = rows[~known]
        kinds[lost] = np.where(kinds[lost] == Quality.GOOD, np.uint8(Quality.BAD), kinds[lost])

    def _note_texts(
        self, part: Columns, codes: Ints, column: Any, values: Floats, kinds: Ints
    ) -> None:
        """Count texts that are no values, by tag."""
        bad = np.flatnonzero((kinds == Quality.BAD) & np.isnan(values))
        if not len(bad):
            return
        names = {number: name for name, number in self.reading.tags.items()}
        for code in np.unique(codes[bad]):
            name = names.get(int(code))
            if name is None:
                continue
            rows = bad[codes[bad] == code]
            self.tally.not_numbers[name] += len(rows)
            key = ("not a number", name)
            if key not in self.tally.firsts:
                shown = quoted(str(column[int(rows[0])].as_py()).strip())
                self.tally.firsts[key] = f"{shown} in {part.file}, {part.where(int(rows[0]))}"

    def _note_codes(self, part: Columns, quality: Any, unknown: Bools) -> None:
        rows = np.flatnonzero(unknown)
        if len(rows):
            assert self.reading.codes is not None
            codes = map(str, quality.filter(pa.array(unknown)).to_pylist())
            where = f"{part.file}, {part.where(int(rows[0]))}"
            self.tally.strange_codes(self.reading.codes, codes, where)


def encoded(column: Any) -> tuple[Ints, list[str]]:
    """Return (T,) the number of each cell's text among the distinct ones, and these, trimmed."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    coded = pc.dictionary_encode(pc.utf8_trim_whitespace(pc.fill_null(column, "")))
    return coded.indices.to_numpy(zero_copy_only=False), coded.dictionary.to_pylist()


def _pair(part: Columns, pair: Pair) -> Columns:
    """Return the rows in which a pair has a time or a value."""
    own = replace(part, table=part.table.select([pair.time, pair.value]))
    empty = np.ones(len(part.ordinals), dtype=bool)
    for column in own.table.columns:
        if pa.types.is_string(column.type):
            empty &= np.asarray(pc.equal(pc.utf8_trim_whitespace(pc.fill_null(column, "")), ""))
        else:
            empty &= np.asarray(pc.is_null(column, nan_is_null=True))
    return own.filtered(~empty) if empty.any() else own


def event_columns(layout: Layout, time: bool) -> list[str]:
    """Name the columns that are read, with those of the time or without."""
    if layout.kind == "paired":
        pairs = (*layout.pairs, *layout.silent)
        times = [pair.time for pair in pairs] if time else []
        return [*times, *(pair.value for pair in pairs)]
    parts = (layout.tag, layout.value, layout.quality, layout.unit)
    named = [name for name in parts if name is not None]
    return [*(layout.time.columns if time and layout.time else ()), *named]
