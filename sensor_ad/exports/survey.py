"""Whole columns of all files in, what only they can decide out: time formats, digital tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, is_other_number, wrong_signs
from sensor_ad.exports.cells import NULLS
from sensor_ad.exports.layouts import TimeColumns
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sources import Source, column_blocks, signs_of
from sensor_ad.exports.states import MOST_STATES, states_of
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.time_cells import DAY_US
from sensor_ad.exports.time_evidence import (
    MixedTimesError,
    NoTimesError,
    TimeEvidence,
    UndecidedTimesError,
)
from sensor_ad.exports.time_formats import TIME_OF_DAY, TimeFormat, by_name
from sensor_ad.exports.vocabulary import meaning
from sensor_ad.records import Quality

EXCEL_DAY = 25_569
"""Excel's number of 1970-01-01."""
MOST_TEXTS = 1_000
"""Different texts of a column that are counted; more are no states."""


def time_formats(
    sources: Sequence[Source], time: TimeColumns, settings: ReadSettings
) -> dict[str, TimeFormat]:
    """Decide the format of each column of the time, over all files.

    The first rows of each file leave some formats. Where that is more than one, all cells of the
    column are looked at: whether a month would be above 12, and whether the times go on steadily.

    Raises
    ------
    DataError
        Two readings are left, or the column mixes formats; both are shown, and what settles it.
    """
    formats = {} if time.clock is None else {time.clock: TIME_OF_DAY}
    return {**formats, time.stamp: _stamp_format(sources, time.stamp, settings)}


def _stamp_format(sources: Sequence[Source], name: str, settings: ReadSettings) -> TimeFormat:
    if settings.time_format is not None:
        return by_name(settings.time_format)
    sources = [source for source in sources if name in source.columns]  # others are refused later
    shown = [source.columns[name].times for source in sources]
    for source, some in zip(sources, shown, strict=True):
        if not some:
            column, first = source.columns[name], sources[0].columns[name].times
            example = first[0] if first else "times"
            raise DataError(
                f"{source.path.name}: column {quoted(name)} holds {quoted(column.first_cell)}, "
                f"expected {example} as in {sources[0].path.name}: export these files in one and "
                "the same way."
            )
    for source, some in zip(sources, shown, strict=False):
        if not {*some} & {*shown[0]}:
            raise DataError(
                f"{source.path.name}: column {quoted(name)} holds "
                f"{quoted(source.columns[name].first_cell)}, expected {shown[0][0]} as in "
                f"{sources[0].path.name}: export these files in one and the same way."
            )
    left = [form for form in shown[0] if all(form in some for some in shown)]
    if len(left) == 1:
        return by_name(left[0])
    return _over_all(sources, name, settings)


def _over_all(sources: Sequence[Source], name: str, settings: ReadSettings) -> TimeFormat:
    whole = TimeEvidence(numeric_ok=True)
    for source in sources:
        one = TimeEvidence(numeric_ok=True)
        wanted = {name: pa.string()}
        for part in column_blocks(source, wanted, (name, ""), settings.block_bytes, Tally()):
            one.add(part.table[name])
        whole.merge(one)
    try:
        return whole.decide()
    except UndecidedTimesError as fault:
        told = _by_serials(sources[0], name, fault.readings)
        if told is not None:
            return told
        if not fault.apart:
            return fault.readings[0]  # all cells mean the same in both
        raise DataError(f"{sources[0].path.name}: column {quoted(name)}: {fault.reason}.") from None
    except (MixedTimesError, NoTimesError) as fault:
        raise DataError(f"{sources[0].path.name}: column {quoted(name)}: {fault.reason}.") from None


def _by_serials(source: Source, name: str, readings: Sequence[TimeFormat]) -> TimeFormat | None:
    """Return the reading that a WinCC log's own day numbers (`Time_ms`) agree with."""
    stamp = source.columns[name]
    serials = [c for c in source.columns.values() if c.name.casefold() == "time_ms"]
    if not serials or serials[0].first_line != stamp.first_line:
        return None
    try:
        days = float(serials[0].first_cell.replace(",", ".")) / 1e6
    except ValueError:
        return None
    cell = pa.array([stamp.first_cell])
    near = [r for r in readings if abs(int(r.read(cell)[0][0]) / DAY_US + EXCEL_DAY - days) < 0.5]
    return near[0] if len(near) == 1 else None


def find_states(
    sources: Sequence[Source],
    names: Sequence[str],
    extra: Mapping[str, Quality],
    block_bytes: int,
) -> dict[str, tuple[str, ...] | None]:
    """Tell the states of columns without numbers, over all cells of all files.

    Returns
    -------
    Column -> its states in the order of their numbers; () where nothing but error texts and empty
    cells stand; None where its texts are no states.

    Raises
    ------
    DataError
        A column holds numbers that are written otherwise than the file's.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for source in sources:
        wanted = {name: pa.string() for name in names if name in source.columns}
        for part in column_blocks(source, wanted, None, block_bytes, Tally()):
            for name in wanted:
                if len(counts[name]) <= MOST_TEXTS:
                    _count(counts[name], part.table[name])
                    _refuse_numbers(source, part, name, counts[name])
    found: dict[str, tuple[str, ...] | None] = {}
    for name, texts in counts.items():
        unknown = [text for text in texts if meaning(text, extra) is None]
        found[name] = states_of(texts, extra) or (None if unknown else ())
    return found


def _refuse_numbers(source: Source, part: Columns, name: str, texts: Iterable[str]) -> None:
    """Refuse numbers with another decimal sign: they would be taken for states."""
    found = next((text for text in texts if is_other_number(text)), None)
    if found is not None:
        cells = pc.utf8_trim_whitespace(pc.fill_null(part.table[name], ""))
        row = pc.index(cells, found).as_py()
        where = f"{part.file}, {part.where(row)}, column {quoted(name)}"
        raise wrong_signs(where, found, signs_of(source), part.typed)


def _count(counts: Counter[str], column: pa.ChunkedArray) -> None:
    """Count the distinct texts of a block; empty cells say nothing."""
    texts = pc.utf8_trim_whitespace(pc.fill_null(column, ""))
    for pair in pc.value_counts(texts).to_pylist()[: MOST_TEXTS + MOST_STATES]:
        if pair["values"] not in NULLS:
            counts[pair["values"]] += pair["counts"]
