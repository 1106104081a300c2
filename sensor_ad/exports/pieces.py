"""Tables in, pieces of one checked Parquet file on disk out; and a piece back by its number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from sensor_ad.errors import ResourceError


class LaidAside:
    """A temporary folder within another one; a context manager, which removes it in any case."""

    def __init__(self, folder: Path):
        try:
            self._own = TemporaryDirectory(
                prefix="laid-aside-", dir=folder, ignore_cleanup_errors=True
            )
        except OSError as fault:
            raise _unwritten(folder, fault) from None
        self.folder = Path(self._own.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder, and what lies in it."""
        self._own.cleanup()


class PieceFile:
    """Tables of one schema, one after the other in a file; each page with its checksum."""

    def __init__(self, path: Path, schema: Any):
        self.path = path
        self.pieces = 0
        plain = dict.fromkeys(schema.names, "PLAIN")
        # Times in order differ by little: their differences take a third of the space.
        encoding = {**plain, "time_us": "DELTA_BINARY_PACKED"}
        try:
            self._writer: Any = pq.ParquetWriter(
                path,
                schema,
                compression="lz4",
                use_dictionary=False,
                write_statistics=False,
                column_encoding=encoding,
                write_page_checksum=True,
            )
        except OSError as fault:
            raise _unwritten(path, fault) from None

    def append(self, table: Any) -> None:
        """Write a table as the next piece."""
        if len(table) == 0:
            raise ValueError("an empty piece was to be written")
        try:
            self._writer.write_table(table, row_group_size=len(table))
        except OSError as fault:
            raise _unwritten(self.path, fault) from None
        self.pieces += 1

    def close(self) -> None:
        """Finish writing; pieces can be read from now on."""
        try:
            self._writer.close()
        except OSError as fault:
            raise _unwritten(self.path, fault) from None

    def read(self, numbers: Sequence[int]) -> Any:
        """Return some pieces as one table, their checksums verified; the file is closed again."""
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                return file.read_row_groups(list(numbers), use_threads=False).combine_chunks()
        except (OSError, pa.ArrowInvalid) as fault:
            raise ResourceError(
                f"{self.path}: what was laid aside on disk cannot be read back "
                f"({_first_line(fault)}), expected what was written: check the disk and start "
                "again."
            ) from None


def _unwritten(path: Path, fault: OSError) -> ResourceError:
    return ResourceError(
        f"{path}: rows cannot be laid aside on disk ({_first_line(fault)}), expected room for "
        "about the size of the export: free some space, or set another folder for temporary files."
    )


def _first_line(fault: BaseException) -> str:
    lines = str(fault).splitlines()
    return lines[0] if lines else type(fault).__name__
