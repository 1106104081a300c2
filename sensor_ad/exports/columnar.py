"""A Parquet file in, record batches of plain Arrow columns out: numbers, truths, texts and times.

What layouts with one value a row (tag, time, value, quality) need, from text files and Parquet
alike; wide files take the shorter way of `parquet.py`, which shares the limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sensor_ad.errors import DataError
from sensor_ad.exports.columns import NoRowsError
from sensor_ad.exports.partitions import Partition, Value
from sensor_ad.exports.tally import Tally, quoted

MOST_VALUES = 2_000_000_000
"""Rows times columns of a row group; more is a damaged or hostile file."""
MOST_FILE_VALUES = 1_000_000_000_000
"""Rows times columns of a file: 30,000 tags every second for a year."""
MOST_COLUMNS = 20_000
VALUE_BYTES = 8
"""What a value takes in memory, whatever the file says: one that repeats takes none on disk."""
BOMB_RATIO, BOMB_BYTES = 1_000, 256 << 20
"""Bytes of values for each byte of file, and from which size on that is no longer tolerated. Plant
data with their times reach 2 to 100; a file of 228 kB was seen to become 400 MB."""
MOST_TEXT_BYTES = 256 << 20
"""Texts of one batch: a long text that repeats takes next to nothing on disk."""
BATCH_ROWS = 65_536
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises when it reads a damaged file."""
STREAMED = {"pre_buffer": False, "buffer_size": 1 << 18}
"""Arrow would else hold the whole file, compressed, by the time it is read to its end."""
_NAMELESS_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index that has no name."""

NUMBER, TRUTH, TEXT, TIME = "number", "truth", "text", "time"


@dataclass(frozen=True)
class PlainColumn:
    """One column that can be read."""

    name: str
    kind: str
    """NUMBER, TRUTH, TEXT or TIME."""
    type: Any
    """Arrow type in which it comes: int64, uint64, double, bool, string, or timestamp of the file's
    own unit and zone. Whole numbers keep all digits: they may be quality codes or epochs."""
    unnamed: bool = False
    """pandas wrote it for an index without a name."""


def plain_columns(
    path: Path, partition: Partition | None = None, tally: Tally | None = None
) -> dict[str, PlainColumn]:
    """Return the columns of a Parquet file that hold numbers, truths, texts or times.

    Parameters
    ----------
    path
        The file.
    partition
        Partition keys with the file's values; they come after the file's own columns.
    tally
        Takes a note of each column that is left out, with its type.

    Raises
    ------
    DataError
        When the file is damaged, too large for its bytes, without rows, or names a column twice.
    """
    try:
        with pq.ParquetFile(path, **STREAMED) as file:
            check_size(path, file.metadata)
            schema = file.schema_arrow
    except DAMAGE as fault:
        raise damaged(path.name, fault) from None
    check_names(path.name, schema.names)
    columns = {}
    for field in schema:
        kind = kind_of(field.type)
        if kind is None:
            if tally is not None:
                tally.note(left_out(path.name, field))
            continue
        unnamed = _NAMELESS_INDEX.fullmatch(field.name) is not None
        columns[field.name] = PlainColumn(field.name, kind, _plain_type(field.type), unnamed)
    for key, value in (partition or {}).items():
        if key not in columns:
            columns[key] = _of_partition(key, value)
    return columns


def plain_batches(
    path: Path,
    columns: Mapping[str, PlainColumn],
    partition: Partition | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a Parquet file, in file order, as plain columns.

    Parameters
    ----------
    path
        The file.
    columns
        What is wanted, of those that `plain_columns` gave for this file or one like it; batches
        have them in this order and with these types. A column that the file lacks (tables grow
        columns with the years) comes as nulls.
    partition
        Partition keys with the file's values, which are repeated in each row.
    batch_rows
        Rows of a batch, at most.

    Raises
    ------
    DataError
        When the file is damaged, a text column is blown up, or a column of the file contradicts the
        partition key of its name.
    """
    partition = partition or {}
    schema = pa.schema([(column.name, column.type) for column in columns.values()])
    done = 0
    try:
        with open_streamed(path) as file:
            check_size(path, file.metadata)
            there = {field.name: field for field in file.schema_arrow}
            own = [name for name in columns if name in there]
            for batch in file.iter_batches(batch_rows, columns=own):
                batch.validate(full=True)  # Arrow takes any bytes for text when it reads
                check_texts(path.name, batch)
                arrays = [
                    _array(path, column, batch, partition, done) for column in columns.values()
                ]
                done += len(batch)
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            if done != file.metadata.num_rows:
                raise OSError(f"{done} rows where {file.metadata.num_rows} were announced")
    except DAMAGE as fault:
        raise damaged(path.name, fault) from None


def open_streamed(path: Path) -> Any:
    """Open a Parquet file for reading piece by piece; damaged pages are told by their checksums.

    Texts come as dictionaries, so that one that repeats is in memory once (`check_texts`).
    """
    how = {
        "page_checksum_verification": True,
        "coerce_int96_timestamp_unit": "us",  # in ns, years after 2262 would wrap around
        **STREAMED,
    }
    file = pq.ParquetFile(path, **how)
    texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
    if not texts:
        return file
    with file:
        metadata = file.metadata
    return pq.ParquetFile(path, metadata=metadata, read_dictionary=texts, **how)


def kind_of(kind: Any) -> str | None:
    """Return what a column of an Arrow type holds, None for what cannot be read."""
    if isinstance(kind, pa.BaseExtensionType):
        return None
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if _is_text(kind):
        return TEXT
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return TIME
    if pa.types.is_boolean(kind):
        return TRUTH
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return NUMBER if any(test(kind) for test in tests) else None


def left_out(name: str, field: Any) -> str:
    """Return the note of a column that cannot be read."""
    said = str(field.type)
    said = said if len(said) <= 60 else f"{said[:60]}…"  # a struct may have a thousand fields
    return (
        f"{name}: column {quoted(field.name)} is of type {said}, no number, text or time: left out"
    )


def check_size(path: Path, metadata: Any) -> None:
    """Refuse a file that would take far more memory or time than its bytes let expect."""
    name, rows, columns = path.name, metadata.num_rows, metadata.num_columns
    if columns > MOST_COLUMNS:
        raise DataError(
            f"{name}: {columns} columns, expected at most {MOST_COLUMNS}: export fewer tags in "
            "one file."
        )
    groups = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    if rows < 0 or sum(groups) != rows or min(groups, default=0) < 0:
        raise damaged(name, OSError(f"{rows} rows announced, {sum(groups)} in its row groups"))
    for k, group_rows in enumerate(groups):
        if group_rows * columns > MOST_VALUES:
            raise DataError(
                f"{name}: row group {k} claims {group_rows} rows of {columns} "
                f"columns, expected at most {MOST_VALUES} values: write it with smaller row groups."
            )
    size, claimed = path.stat().st_size, rows * columns * VALUE_BYTES
    if rows * columns > MOST_FILE_VALUES:
        raise DataError(
            f"{name}: {rows} rows of {columns} columns, expected at most {MOST_FILE_VALUES} "
            "values: write it as several files."
        )
    if claimed > BOMB_BYTES and claimed > BOMB_RATIO * size:
        raise DataError(
            f"{name}: {size} bytes hold {rows} rows of {columns} columns ({claimed >> 20} MiB), as "
            f"if made to fill the memory; expected at most {BOMB_RATIO} times the file's size: "
            "export fewer rows, or leave out columns that never change."
        )
    if rows == 0:
        raise NoRowsError(
            f"{name}: no rows, expected a table with rows: export a stretch of time that has data."
        )


def check_names(name: str, names: Sequence[str]) -> None:
    """Refuse a file that names a column twice."""
    seen: set[str] = set()
    for column in names:
        if column in seen:
            raise DataError(
                f"{name}: column {quoted(column)} stands more than once, expected each column "
                "once: rename or remove the other."
            )
        seen.add(column)


def check_texts(name: str, batch: Any) -> None:
    """Refuse texts that are short in the file and would fill the memory."""
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if not (pa.types.is_dictionary(field.type) and _is_text(field.type)):
            continue
        lengths = pc.binary_length(column.dictionary)
        total = pc.sum(lengths.take(column.indices).cast(pa.int64())).as_py() or 0
        if total > MOST_TEXT_BYTES:
            raise DataError(
                f"{name}: column {quoted(field.name)} has texts of {total >> 20} MiB in "
                f"{len(batch)} rows, expected at most {MOST_TEXT_BYTES >> 20} MiB: leave that "
                "column out of the export."
            )


def damaged(name: str, fault: Exception) -> DataError:
    """Return the refusal of a file that cannot be read to its end."""
    said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return DataError(
        f"{name}: a damaged Parquet file ({said}), expected one that can be read to its end: copy "
        "or export it again."
    )


def plain(column: Any, kind: Any) -> Any:
    """Return a column in a plain type; numbers that do not fit become the nearest that do."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type == kind:
        return column
    return column.cast(kind, safe=False)


def _array(path: Path, column: PlainColumn, batch: Any, partition: Partition, done: int) -> Any:
    position = batch.schema.get_field_index(column.name)
    own = None if position < 0 else plain(batch.column(position), column.type)
    if column.name not in partition:
        return pa.nulls(len(batch), column.type) if own is None else own
    value = partition[column.name]
    said = pa.array([value], _of_partition(column.name, value).type).cast(column.type)[0]
    if own is not None:
        same = pc.fill_null(pc.equal(own, said), value is None)
        different = pc.index(same, False).as_py()
        if different >= 0:
            raise DataError(
                f"{path.name}, row {done + different + 1}: column {quoted(column.name)} holds "
                f"{quoted(str(own[different].as_py()))}, but the file lies in the folder of "
                f"{quoted(str(value))}; expected the same: move the file, or leave the column out."
            )
    return pa.repeat(said, len(batch))


def _of_partition(key: str, value: Value) -> PlainColumn:
    if isinstance(value, bool):
        return PlainColumn(key, TRUTH, pa.bool_())
    if isinstance(value, int):
        return PlainColumn(key, NUMBER, pa.int64())
    if isinstance(value, float):
        return PlainColumn(key, NUMBER, pa.float64())
    return PlainColumn(key, TEXT, pa.string())


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _plain_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if _is_text(kind):
        return pa.string()
    if pa.types.is_date(kind):
        return pa.timestamp("ms")  # a date is midnight on the plant's clock
    if pa.types.is_integer(kind):
        return pa.uint64() if kind == pa.uint64() else pa.int64()
    if pa.types.is_timestamp(kind) or pa.types.is_boolean(kind):
        return kind
    return pa.float64()
