"""A file in, its bytes out: as they stand there, or unpacked from gzip within limits."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sensor_ad.errors import DataError

GZIP = b"\x1f\x8b"
MOST_RATIO = 100
"""Unpacked bytes for each packed one; text of plants has 3 to 30, a bomb has up to 1,032."""
FREE_BYTES = 16 << 20
"""Unpacked whatever the ratio: a short export of constant values is no bomb."""
MOST_BYTES = 64 << 30
"""Unpacked bytes of one file; ten years of a hundred tags at ten seconds have about as many."""


class ByteStream:
    """The bytes of one file, read forwards once."""

    def __init__(self, name: str, file: BinaryIO):
        self.name, self._file = name, file
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        self._gzip = gzip.GzipFile(fileobj=file) if packed else None
        self._told = 0
        self._unpacked = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end.

        Raises
        ------
        DataError
            When a gzip is damaged, or unpacks to more than the limits allow.
        """
        if self._gzip is None:
            return self._file.read(size)
        try:
            data = self._gzip.read(size)
        except EOFError:
            raise DataError(
                f"{self.name}: a gzip that ends too early, expected all of it: copy or export it "
                "again."
            ) from None
        except (gzip.BadGzipFile, zlib.error) as fault:
            raise DataError(
                f"{self.name}: a damaged gzip ({fault}), expected one that can be unpacked: copy "
                "or export it again."
            ) from None
        self._unpacked += len(data)
        self._check_limits()
        return data

    def packed_bytes(self) -> int:
        """Return how many bytes of the file were read since the last call."""
        here = self._file.tell()
        step, self._told = here - self._told, here
        return step

    def _check_limits(self) -> None:
        packed = max(self._file.tell(), 1)
        if self._unpacked > FREE_BYTES and self._unpacked > MOST_RATIO * packed:
            raise DataError(
                f"{self.name}: a gzip that unpacks to more than {MOST_RATIO} times its size, "
                "expected an export: if it is one, unpack it and give the file that comes out."
            )
        if self._unpacked > MOST_BYTES:
            raise DataError(
                f"{self.name}: a gzip that unpacks to more than {MOST_BYTES >> 30} GiB, expected "
                "less in one file: export shorter stretches of time."
            )


@contextmanager
def open_bytes(path: Path) -> Iterator[ByteStream]:
    """Open a file for reading, unpacked when its content is gzip."""
    with path.open("rb") as file:
        yield ByteStream(path.name, file)


def unpack(path: Path, target: Path) -> None:
    """Write what a gzip holds into another file, within the limits; `target` is made anew."""
    with open_bytes(path) as packed, target.open("wb") as file:
        while data := packed.read(1 << 20):
            file.write(data)
