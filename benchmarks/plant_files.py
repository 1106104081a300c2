"""Exports of any length for timing: rows and a folder come in, CSV or Parquet files go out.

Sixteen tags follow three slow loads with noise, at one row a second, rounded like a historian's
values; now and then one tag is off for ten minutes. Written in pieces, so that memory stays small.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from scipy.signal import lfilter

from sensor_ad.records import Floats

TAGS = tuple(f"tag_{number:02d}" for number in range(16))
LOADS = 3
PERSISTENCE = 0.99
"""Of the loads, from one second to the next."""
NOISE = 0.1
"""Standard deviation, as a share of a load's."""
DECIMALS = 2
PIECE = 250_000
"""Rows made at a time."""
FAULT_START, FAULT_ROWS, FAULT_SHIFT = 200_000, 600, 8.0
"""In every second piece one tag is off by so many standard deviations of its noise."""
BEGIN = np.datetime64(datetime(2016, 1, 1), "s")


def write_export(
    path: Path, rows: int, seed: int, faults: bool = True, style: str = "wide", size: int = 0
) -> None:
    """Write one export; the ending says whether as CSV or as Parquet.

    Parameters
    ----------
    rows
        Of all tags together.
    style
        wide; german (semicolons, decimal commas, dd.mm.yyyy); long (a row for each value).
    size
        Stop at about so many bytes; 0: at the last row.
    """
    time_type = pa.string() if style == "german" else pa.timestamp("s")
    value_type = pa.string() if style == "german" else pa.float64()
    kinds = [pa.field("time", time_type), *(pa.field(tag, value_type) for tag in TAGS)]
    if style == "long":
        names = pa.field("tag", pa.dictionary(pa.int32(), pa.string()))
        kinds = [names, kinds[0], pa.field("value", value_type)]
    schema = pa.schema(kinds)
    if path.suffix == ".parquet":
        writer = pq.ParquetWriter(path, schema)
    else:
        delimiter = ";" if style == "german" else ","
        options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
        writer = pacsv.CSVWriter(path, schema, write_options=options)
    with writer:
        for start, values in pieces(rows, seed, faults):
            writer.write_table(_table(start, values, style, schema))
            if size and path.stat().st_size >= size:
                return


def _table(start: int, values: Floats, style: str, schema: pa.Schema) -> pa.Table:
    time = pa.array(BEGIN + np.arange(start, start + len(values)))
    if style == "long":
        T, C = values.shape
        numbers = pa.array(np.tile(np.arange(C, dtype=np.int32), T))
        tags = pa.DictionaryArray.from_arrays(numbers, pa.array(TAGS))
        times = time.take(pa.array(np.repeat(np.arange(T), C)))
        return pa.table([tags, times, pa.array(values.ravel())], schema=schema)
    columns = [pa.array(np.ascontiguousarray(column)) for column in values.T]
    if style == "german":
        time = pc.strftime(time, "%d.%m.%Y %H:%M:%S")
        columns = [pc.replace_substring(c.cast(pa.string()), ".", ",") for c in columns]
    return pa.table([time, *columns], schema=schema)


def pieces(rows: int, seed: int, faults: bool) -> Iterator[tuple[int, Floats]]:
    """Yield (first row, (T, 16) values), the same for the same seed however many rows follow."""
    fixed = np.random.default_rng(seed)
    level = fixed.uniform(20, 200, len(TAGS))
    spread = fixed.uniform(1, 10, len(TAGS))
    weights = fixed.normal(size=(LOADS, len(TAGS)))
    state = np.zeros((1, LOADS))
    for number, start in enumerate(range(0, rows, PIECE)):
        random = np.random.default_rng([seed, number])
        drive = random.normal(scale=np.sqrt(1 - PERSISTENCE**2), size=(PIECE, LOADS))
        loads, state = lfilter([1.0], [1.0, -PERSISTENCE], drive, axis=0, zi=state)
        shape = loads @ weights + NOISE * random.normal(size=(PIECE, len(TAGS)))
        if faults and number % 2:
            off = slice(FAULT_START, FAULT_START + FAULT_ROWS)
            shape[off, number % len(TAGS)] += FAULT_SHIFT * NOISE
        yield start, np.round(level + spread * shape, DECIMALS)[: rows - start]


def main() -> None:
    """Write one export."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plant_files", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--style", choices=["wide", "german", "long"], default="wide")
    parser.add_argument("--bytes", type=int, default=0, help="stop at about this size")
    arguments = parser.parse_args()
    faults = not arguments.no_faults
    path, rows, seed = arguments.path, arguments.rows, arguments.seed
    write_export(path, rows, seed, faults, arguments.style, arguments.bytes)


if __name__ == "__main__":
    main()
