"""Columns of a wide table in, blocks of times and values out: a column is a tag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import (
    Block,
    Columns,
    Plan,
    is_other_number,
    matrix,
    quality_of,
    without_absurd,
    wrong_signs,
)
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.row_times import RowTimes
from sensor_ad.exports.states import state_numbers
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.values import ValueReader, Values
from sensor_ad.records import Floats, Ints, Quality

MOST_UNKNOWN = 5
"""Different texts that nobody knows, in a tag of numbers; more look like states."""


class WideReader:
    """Turns the columns of one file into blocks, in file order."""

    def __init__(self, file: str, signs: Signs, plan: Plan, first_row: int, tally: Tally) -> None:
        self.file, self.plan, self.tally = file, plan, tally
        self.values = ValueReader(signs, plan.texts)
        self.states = {tag: state_numbers(states) for tag, states in plan.tags.items()}
        self.times = RowTimes(file, plan, first_row, tally)

    def blocks(self, parts: Iterator[Columns]) -> Iterator[Block]:
        """Yield a block for each part of the file."""
        for part in parts:
            yield self._block(part)
        self.times.finish()

    def _block(self, part: Columns) -> Block:
        part, time_us = self.times.of(part)
        columns, told = [], {}
        for place, tag in enumerate(self.plan.tags):
            values, quality = self._column(tag, part)
            columns.append(values)
            if quality is not None:
                told[place] = quality
        values = matrix(columns, len(time_us))
        tags = [*self.plan.tags]
        values, absurd = without_absurd(values, tags, self.file, part.where, self.tally)
        quality = None if absurd is None else quality_of(values, None)
        if told:
            quality = quality_of(values, None) if quality is None else quality
            for place, some in told.items():
                quality[:, place] = some
        if absurd is not None and quality is not None:
            quality[absurd] = Quality.BAD
        return Block(self.file, time_us, values, part.ordinals + 1, part.bytes_read, quality)

    def _column(self, tag: str, part: Columns) -> tuple[Floats, Ints | None]:
        """Return a tag's values, and their quality where texts were read."""
        column = part.table[tag]
        if pa.types.is_floating(column.type):
            return column.to_numpy(), None
        found = self.values.read(column, self.states[tag])
        if found.first_error is not None:
            signs = None if self.states[tag] else self.values.signs
            note_texts(tag, found, column, part, signs, self.tally)
        return found.values, found.quality


def note_texts(
    tag: str,
    found: Values,
    column: pa.ChunkedArray,
    part: Columns,
    signs: Signs | None,
    tally: Tally,
) -> None:
    """Count the texts of a tag that are no numbers; refuse those that point to another reading.

    `signs` tells how its numbers are written; None: it is a digital tag.

    Raises
    ------
    DataError
        A number is written with other signs than the file's, or the tag looks like a digital one.
    """
    for text, (_, row) in found.unknown.items():
        if signs is not None and is_other_number(text):
            where = f"{part.file}, {part.where(row)}, column {quoted(tag)}"
            raise wrong_signs(where, text, signs, part.typed)
    tally.not_numbers[tag] += sum(found.errors.values())
    tally.not_numbers[tag] += sum(count for count, _ in found.unknown.values())
    key = ("not a number", tag)
    first = found.first_error or 0
    if key not in tally.firsts:
        shown = quoted(str(column[first].as_py()).strip())
        tally.firsts[key] = f"{shown} in {part.file}, {part.where(first)}"
    if not found.unknown:
        return
    known = tally.unknown.setdefault(tag, Counter())
    known.update({text: count for text, (count, _) in found.unknown.items()})
    if signs is not None and len(known) > MOST_UNKNOWN:
        texts = ", ".join(quoted(text) for text, _ in known.most_common(MOST_UNKNOWN))
        raise DataError(
            f"{part.file}: tag {quoted(tag)} holds more than {MOST_UNKNOWN} texts that are neither "
            f"numbers nor known error texts ({texts} …), expected at most so many: if it is a "
            f"digital tag, say its states by states under [tags]; if they are errors, by "
            'data.texts; or leave the tag out (role = "ignore").'
        )
