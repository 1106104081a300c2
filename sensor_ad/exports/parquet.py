"""A Parquet file in, blocks of its columns out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sensor_ad.exports.blocks import Columns, Wanted, Where
from sensor_ad.exports.columnar import (
    TEXT,
    TIME,
    TRUTH,
    PlainColumn,
    plain_batches,
    plain_columns,
)
from sensor_ad.exports.columns import Column, describe
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.partitions import Partition
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.times import NAIVE, ZONED, sounds_like_time

PROBE_ROWS = 1_000
"""Rows of text columns that are looked at."""


@dataclass(frozen=True)
class ParquetTable:
    """One Parquet file that was looked at."""

    path: Path
    size: int
    """Bytes."""
    columns: dict[str, Column]
    partition: Partition = field(default_factory=dict)
    """Column -> value that all rows have, from the names of the file's folders."""
    plain: Mapping[str, PlainColumn] | None = None
    """Columns as a Delta table's log names them."""


def sniff_parquet(
    path: Path,
    tally: Tally | None = None,
    partition: Partition | None = None,
    columns: Mapping[str, PlainColumn] | None = None,
) -> dict[str, Column]:
    """Find what the columns of a Parquet file hold, from its schema and the first rows.

    A column that is no number, text or time (a list, say) is noted and left out; without a tally
    it comes as one of texts.
    """
    plain = dict(columns or plain_columns(path, partition, tally))
    looked_at = {k: c for k, c in plain.items() if c.kind in (TEXT, TIME) or sounds_like_time(k)}
    probes = {}
    if looked_at:
        first = next(plain_batches(path, looked_at, partition, PROBE_ROWS), None)
        probes = {} if first is None else {name: first.column(name) for name in looked_at}
    return {
        name: _describe(name, position, column, probes.get(name))
        for position, (name, column) in enumerate(plain.items())
    }


def parquet_columns(
    source: ParquetTable, wanted: Wanted, block_bytes: int, tally: Tally
) -> Iterator[Columns]:
    """Yield the columns wanted of a Parquet file, in file order."""
    plain = source.plain or plain_columns(source.path, source.partition)
    batch_rows = max(1, block_bytes // (8 * len(wanted)))
    done = 0
    with pq.ParquetFile(source.path) as file:
        per_row = source.size / max(file.metadata.num_rows, 1)
    chosen = {name: plain[name] for name in wanted}
    for batch in plain_batches(source.path, chosen, source.partition, batch_rows):
        arrays = [_as_wanted(batch.column(name), kind) for name, kind in wanted.items()]
        table = pa.Table.from_arrays(arrays, names=[*wanted])
        first = done
        done += len(batch)
        tally.rows_in += len(batch)
        bytes_read = int(per_row * done) - int(per_row * first)
        ordinals = np.arange(first, done)
        where = _row_number(first)
        yield Columns(source.path.name, table, ordinals, where, bytes_read, typed=True)


def _row_number(first: int) -> Where:
    return lambda k: f"row {first + k + 1}"


def _as_wanted(column: Any, kind: Any) -> Any:
    """Return a column as it is asked for; texts and times stay what they are."""
    if pa.types.is_string(column.type) or pa.types.is_timestamp(column.type):
        return column
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if pa.types.is_string(kind):
        return column.cast(kind)
    if not pa.types.is_floating(kind):
        return column.cast(pa.string())  # numbers that are times
    return pc.fill_null(column.cast(kind, safe=False), float("nan"))


def _describe(name: str, position: int, column: PlainColumn, probe: Any) -> Column:
    """Say what a column holds; numbers are times only where the column is called so."""
    if probe is not None and pa.types.is_timestamp(probe.type) and probe.type.tz is not None:
        # They count from an instant whatever zone they name, be it one that nobody knows.
        probe = probe.cast(pa.int64()).cast(pa.timestamp(probe.type.unit, "UTC"))
    cells = [] if probe is None else probe.cast(pa.string()).to_pylist()
    lines = [(row, cell.strip()) for row, cell in enumerate(cells, 1) if cell]
    seen = describe(name, position, lines, Signs(), column.unnamed)
    if column.kind == TIME:
        return replace(seen, times=(ZONED if column.type.tz is not None else NAIVE,))
    if column.kind == TEXT:
        return seen
    truth = column.kind == TRUTH
    return replace(seen, numbers=int(not truth), truths=int(truth), texts=0)
