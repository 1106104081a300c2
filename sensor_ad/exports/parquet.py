"""A Parquet file in, blocks of times and values out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import (
    EMPTY,
    Block,
    Plan,
    bad_time,
    matrix,
    row_times,
    utc_times,
    without_absurd,
)
from sensor_ad.exports.cells import NULLS, read_cells
from sensor_ad.exports.columns import Column, NoRowsError, describe
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import (
    NAIVE,
    ZONED,
    BadTimeError,
    parse_times,
    stamps_us,
)
from sensor_ad.records import Bools, Floats, Ints

_NAMELESS_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index that has no name."""
MOST_VALUES = 2_000_000_000
"""Rows times columns of a row group; more is a damaged or hostile file."""
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises when it reads a damaged file."""
STREAMED = {"pre_buffer": False, "buffer_size": 1 << 18}
"""Arrow would else hold the whole file, compressed, by the time it is read to its end."""
PROBE_ROWS = 1_000
"""Rows of text columns that are looked at."""


@dataclass(frozen=True)
class ParquetTable:
    """One Parquet file that was looked at."""

    path: Path
    size: int
    """Bytes."""
    columns: dict[str, Column]


def sniff_parquet(path: Path) -> dict[str, Column]:
    """Find what the columns of a Parquet file hold, from its schema and the first rows."""
    try:
        with pq.ParquetFile(path, **STREAMED) as file:
            _check_size(path.name, file.metadata)
            schema = file.schema_arrow
            looked_at = [
                field.name for field in schema if _is_text(field.type) or _is_time(field.type)
            ]
            first = next(file.iter_batches(PROBE_ROWS, columns=looked_at), None)
            if first is not None:
                first.validate(full=True)  # texts of a damaged file may be no UTF-8
    except DAMAGE as fault:
        raise _damaged(path.name, fault) from None
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise DataError(
            f"{path.name}: column {quoted(twice[0])} stands more than once, expected each column "
            "once: rename or remove the other."
        )
    probes = {} if first is None else {name: first.column(name) for name in looked_at}
    return {
        field.name: _describe(field, position, probes.get(field.name))
        for position, field in enumerate(schema)
    }


def parquet_blocks(
    source: ParquetTable, plan: Plan, tally: Tally, first_row: int
) -> Iterator[Block]:
    """Yield the rows of a Parquet file, in file order."""
    wanted = [*plan.tags] + ([] if plan.time_column is None else [plan.time_column])
    batch_rows = max(1, plan.block_bytes // (8 * len(wanted)))
    done = 0
    try:
        with pq.ParquetFile(source.path, page_checksum_verification=True, **STREAMED) as file:
            per_row = source.size / max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(batch_rows, columns=wanted):
                tally.rows_in += len(batch)
                yield _block(source, plan, tally, batch, done, first_row, per_row)
                done += len(batch)
    except DAMAGE as fault:
        raise _damaged(source.path.name, fault) from None


def _block(
    source: ParquetTable,
    plan: Plan,
    tally: Tally,
    batch: Any,
    done: int,
    first_row: int,
    bytes_per_row: float,
) -> Block:
    name = source.path.name
    ordinals = np.arange(done, done + len(batch))
    columns = [_numbers(name, tag, batch.column(tag), plan, tally, ordinals) for tag in plan.tags]
    values = matrix(columns, len(batch))
    values = without_absurd(values, [*plan.tags], name, lambda k: f"row {ordinals[k] + 1}", tally)
    bytes_read = int(bytes_per_row * (done + len(batch))) - int(bytes_per_row * done)
    if plan.time_column is None:
        time_us = row_times(ordinals + first_row, plan)
        return Block(name, time_us, values, ordinals + 1, bytes_read)
    time_format = source.columns[plan.time_column].time_format or ""
    stamps = batch.column(plan.time_column)
    empty = _empty(stamps)
    if empty.any():
        lost = np.flatnonzero(empty & np.isfinite(values).any(axis=1))
        if len(lost):
            raise bad_time(name, f"row {ordinals[lost[0]] + 1}", "", time_format)
        tally.dropped[EMPTY] += int(empty.sum())
        stamps, values, ordinals = stamps.filter(~empty), values[~empty], ordinals[~empty]
    time_us = _times(name, stamps, time_format, plan, tally, ordinals)
    return Block(name, time_us, values, ordinals + 1, bytes_read)


def _times(
    name: str, stamps: Any, time_format: str, plan: Plan, tally: Tally, ordinals: Ints
) -> Ints:
    if pa.types.is_date(stamps.type):
        stamps = stamps.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(stamps.type):
        time_us = stamps_us(stamps)
    else:
        stamps = stamps.cast(pa.string())
        try:
            time_us = parse_times(stamps, time_format)
        except BadTimeError as fault:
            where = f"row {ordinals[fault.index] + 1}"
            raise bad_time(name, where, stamps[fault.index].as_py(), time_format) from None
    return utc_times(time_us, time_format, plan, name, lambda k: f"row {ordinals[k] + 1}", tally)


def _numbers(name: str, tag: str, column: Any, plan: Plan, tally: Tally, ordinals: Ints) -> Floats:
    if not _is_text(column.type):
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        values: Floats = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return values
    column = column.cast(pa.string())
    cells = read_cells(column, ".", plan.tags[tag])
    if cells.other_sign is not None:
        raise DataError(
            f"{name}, row {ordinals[cells.other_sign] + 1}, column {quoted(tag)}: "
            f"{quoted(column[cells.other_sign].as_py())}, expected a number or a text with a "
            "decimal point: write the column as numbers."
        )
    if cells.bad.any():
        first = int(np.flatnonzero(cells.bad)[0])
        tally.not_numbers[tag] += int(cells.bad.sum())
        shown = f"{quoted(column[first].as_py())} in {name}, row {ordinals[first] + 1}"
        tally.firsts.setdefault(("not a number", tag), shown)
    return cells.values


def _empty(stamps: Any) -> Bools:
    missing = pc.is_null(stamps)
    if _is_text(stamps.type):
        texts = pc.utf8_trim_whitespace(stamps.cast(pa.string()))
        missing = pc.or_(missing, pc.is_in(texts, value_set=pa.array(NULLS)))
    flags: Bools = missing.to_numpy(zero_copy_only=False)
    return flags


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_number(kind: Any) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def _describe(field: Any, position: int, probe: Any) -> Column:
    """Say what a column holds; one that is neither number nor time counts as text."""
    kind = field.type
    cells = [] if probe is None else probe.cast(pa.string()).to_pylist()
    lines = [(row, cell.strip()) for row, cell in enumerate(cells, 1) if cell]
    unnamed = _NAMELESS_INDEX.fullmatch(field.name) is not None
    seen = describe(field.name, position, lines, ".", unnamed)
    if _is_time(kind):
        zoned = getattr(kind, "tz", None) is not None
        return replace(seen, time_format=ZONED if zoned else NAIVE)
    if probe is not None:
        return seen
    number, truth = _is_number(kind), pa.types.is_boolean(kind)
    return replace(seen, numbers=int(number), truths=int(truth), texts=int(not (number or truth)))


def _check_size(name: str, metadata: Any) -> None:
    for k in range(metadata.num_row_groups):
        group = metadata.row_group(k)
        if group.num_rows * group.num_columns > MOST_VALUES:
            raise DataError(
                f"{name}: row group {k} claims {group.num_rows} rows of {group.num_columns} "
                f"columns, expected at most {MOST_VALUES} values: write it with smaller row groups."
            )
    if metadata.num_rows == 0:
        raise NoRowsError(
            f"{name}: no rows, expected a table with rows: export a stretch of time that has data."
        )


def _damaged(name: str, fault: Exception) -> DataError:
    said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return DataError(
        f"{name}: a damaged Parquet file ({said}), expected one that can be read to its end: copy "
        "or export it again."
    )
