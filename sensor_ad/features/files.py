"""Where features go: arrays of batch after batch come in, an array or a file of all goes out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from sensor_ad.durable import replacing
from sensor_ad.errors import DataError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Arrays = Mapping[str, npt.NDArray[Any]]
"""Layer -> (n, …) features of n samples."""
ROW_GROUP_BYTES = 8 << 20
"""A row group of a Parquet file holds so many bytes of features at least."""
MOST_COLUMNS = 2048
"""With more features of a layer, they stand in one column of lists: each column costs memory."""
METADATA = "sensor_ad.features"


class Sink(Protocol):
    """Takes batch after batch."""

    def add(self, arrays: Arrays) -> None:
        """Take one batch."""

    def finish(self) -> None:
        """Complete what was taken."""


class ArraySink:
    """Features in memory, in arrays that grow.

    Parameters
    ----------
    total
        N, where it is known: then nothing is ever copied.
    """

    def __init__(self, total: int | None) -> None:
        self.total, self.count = total, 0
        self.arrays: dict[str, npt.NDArray[Any]] = {}

    def add(self, arrays: Arrays) -> None:
        """Take one batch."""
        count = self.count + len(next(iter(arrays.values())))
        for name, part in arrays.items():
            whole = self.arrays.get(name)
            if whole is None or len(whole) < count:
                size = max(count, self.total or 0, 2 * self.count)
                grown = np.empty((size, *part.shape[1:]), part.dtype)
                if whole is not None:
                    grown[: self.count] = whole[: self.count]
                self.arrays[name] = grown
            self.arrays[name][self.count : count] = part
        self.count = count

    def finish(self) -> None:
        """Cut off what was not needed."""
        self.arrays = {name: whole[: self.count] for name, whole in self.arrays.items()}


class NpySink:
    """One layer's features in numpy's own file format, whose header has room for N to grow."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.count = file, 0
        self.head: tuple[Any, tuple[int, ...]] = ("", ())
        self.header_bytes = 0

    def add(self, arrays: Arrays) -> None:
        """Take one batch."""
        (part,) = arrays.values()
        if not self.header_bytes:
            self.head = np.lib.format.dtype_to_descr(part.dtype), part.shape[1:]
            self._write_header()
            self.header_bytes = self.file.tell()
        self.file.write(np.ascontiguousarray(part).data)
        self.count += len(part)

    def finish(self) -> None:
        """Write N into the header."""
        self.file.seek(0)
        self._write_header()
        assert self.file.tell() == self.header_bytes

    def _write_header(self) -> None:
        descr, shape = self.head
        header = {"descr": descr, "fortran_order": False, "shape": (self.count, *shape)}
        np.lib.format.write_array_header_1_0(self.file, header)


class ParquetSink:
    """Features in a Parquet file: a column for each, or one of lists for each layer.

    Parameters
    ----------
    path
        Where to write.
    times
        (N,) microseconds since 1970 in UTC; None: no column of times.
    spread
        Whether the second half of a layer's features is their standard deviation.
    metadata
        Key -> word, kept beside the shapes of the layers.
    """

    def __init__(
        self,
        path: Path,
        times: npt.NDArray[np.int64] | None,
        spread: bool,
        metadata: Mapping[str, str],
    ) -> None:
        self.path, self.times, self.spread, self.metadata = path, times, spread, metadata
        self.count = 0
        self.writer: Any = None
        self.waiting: list[pa.RecordBatch] = []
        self.bytes = 0

    def add(self, arrays: Arrays) -> None:
        """Take one batch; a row group is written when enough of them wait."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {}
        count = len(next(iter(arrays.values())))
        if self.times is not None:
            part = self.times[self.count : self.count + count]
            columns["time"] = pa.array(part, pa.timestamp("us", tz="UTC"))
            if len(part) < count:
                raise DataError(_too_few(len(self.times)))
        for name, array in arrays.items():
            columns |= self._columns(name, array)
        rows = pa.RecordBatch.from_pydict(columns)
        if self.writer is None:
            shapes = {name: list(array.shape[1:]) for name, array in arrays.items()}
            kept = {METADATA: json.dumps(shapes), **self.metadata}
            self.writer = pq.ParquetWriter(self.path, rows.schema.with_metadata(kept))
        self.waiting.append(rows)
        self.count, self.bytes = self.count + count, self.bytes + rows.nbytes
        if self.bytes >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what waits."""
        self._flush()
        self.close()
        if self.times is not None and len(self.times) != self.count:
            raise DataError(
                f"times has {len(self.times)} entries, the data have {self.count} samples; give "
                "one time for each sample."
            )

    def close(self) -> None:
        """Close the file, whatever stands in it."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _flush(self) -> None:
        import pyarrow as pa

        if self.waiting:
            self.writer.write_table(
                pa.Table.from_batches(self.waiting).replace_schema_metadata(None).combine_chunks()
            )
        self.waiting, self.bytes = [], 0

    def _columns(self, name: str, array: npt.NDArray[Any]) -> dict[str, Any]:
        """Make columns ``layer:0`` …, ``layer:mean:0`` …, or one column ``layer`` of lists."""
        import pyarrow as pa

        if array.ndim == 1:
            return {name: pa.array(array)}
        count = array[0].size
        if array.ndim > 2 or count > MOST_COLUMNS:
            flat = pa.array(np.ascontiguousarray(array).reshape(-1))
            return {name: pa.FixedSizeListArray.from_arrays(flat, count)}
        half = count // 2
        words = [str(number) for number in range(count)]
        if self.spread:
            words = [f"{word}:{n}" for word in ("mean", "spread") for n in range(half)]
        return {
            f"{name}:{word}": pa.array(np.ascontiguousarray(array[:, number]))
            for number, word in enumerate(words)
        }


@contextmanager
def sink_for(
    out: Path | None,
    layers: tuple[str, ...],
    total: int | None,
    times: npt.NDArray[np.int64] | None,
    spread: bool,
    metadata: Mapping[str, str],
) -> Iterator[Sink]:
    """Give the sink for an output; a file is whole when the block ends well, or not there.

    Raises
    ------
    UsageError
        The file's kind is not known, or holds one layer only.
    DataError
        There are more or fewer times than samples.
    ResourceError
        It cannot be written.
    """
    if out is None:
        sink = ArraySink(total)
        yield sink
        sink.finish()
        return
    _check_kind(out, layers, times)
    with replacing(out) as temporary:
        if out.suffix == ".npy":
            with temporary.open("wb") as file:
                npy = NpySink(file)
                yield npy
                npy.finish()
            return
        parquet = ParquetSink(temporary, times, spread, metadata)
        try:
            yield parquet
            parquet.finish()
        finally:
            parquet.close()


def microseconds(times: Any, total: int | None) -> npt.NDArray[np.int64]:
    """Turn times into microseconds since 1970 in UTC.

    Parameters
    ----------
    times
        (N,) datetimes (UTC where they name no zone), or such microseconds.
    total
        N, where it is known.
    """
    array = np.asarray(times, dtype="datetime64[us]").astype(np.int64)
    if total is not None and array.shape != (total,):
        raise DataError(
            f"times has {len(array)} entries, the data have {total} samples; give one time for "
            "each sample."
        )
    return array


def _check_kind(out: Path, layers: tuple[str, ...], times: npt.NDArray[np.int64] | None) -> None:
    if out.suffix not in (".npy", ".parquet"):
        raise UsageError(f"out is {out.name!r}, expected a name that ends in .npy or .parquet.")
    if out.suffix == ".npy" and len(layers) > 1:
        raise UsageError(
            f"a .npy file holds one layer, {len(layers)} were asked for ({', '.join(layers)}); "
            "write a .parquet file, or one layer at a time."
        )
    if out.suffix == ".npy" and times is not None:
        raise UsageError("a .npy file holds no times; write a .parquet file, or leave times out.")


def _too_few(count: int) -> str:
    return f"times has {count} entries, the data have more samples; give one time for each sample."
