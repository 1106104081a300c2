"""Readings in, one canonical Parquet file out, and back: UTC, float64, quality beside each value.

The file's own metadata hold the tags' names, what was found of the export and the account of its
rows. Pages carry checksums, which are verified when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sensor_ad.durable import replacing
from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import quality_of
from sensor_ad.records import Readings, RowAccount

KEY = b"sensor_ad"
"""Of what is said in the file's metadata, as JSON."""
VERSION = 1
TIME = "time"
QUALITY = "quality of "
"""Stands before a tag's name in the name of its column of qualities."""
TAG = "tag: "
"""Stands before a tag's name where its column would be called like another one."""
GROUP_VALUES = 1 << 22
"""Values of a row group, about: 32 MiB."""


class CanonicalWriter:
    """Writes readings as they come; the file is whole or not there.

    Parameters
    ----------
    path
        Of the file.
    tags
        C names, kept as they are.
    """

    def __init__(self, path: Path, tags: Sequence[str]) -> None:
        self.path, self.tags = path, tuple(tags)
        fields = [pa.field(TIME, pa.timestamp("us", "UTC"))]
        fields += [pa.field(_column_name(tag), pa.float64()) for tag in tags]
        fields += [pa.field(QUALITY + tag, pa.uint8()) for tag in tags]
        self.schema = pa.schema(fields)

    def write(self, readings: Iterable[Readings], about: Callable[[], Mapping[str, Any]]) -> int:
        """Write all readings; returns how many rows.

        Parameters
        ----------
        readings
            In time order, all of the same tags.
        about
            Asked when all are written: what stands in the metadata beside tags and rows.
        """
        rows, held, waiting = 0, 0, []
        limit = max(GROUP_VALUES // max(len(self.tags), 1), 1)
        with (
            replacing(self.path) as temporary,
            pq.ParquetWriter(
                temporary, self.schema, compression="zstd", write_page_checksum=True
            ) as file,
        ):
            for part in readings:
                waiting.append(self._table(part))
                held += len(part.time_us)
                rows += len(part.time_us)
                if held >= limit:
                    file.write_table(pa.concat_tables(waiting), row_group_size=limit)
                    waiting, held = [], 0
            if waiting:
                file.write_table(pa.concat_tables(waiting), row_group_size=limit)
            said = {"version": VERSION, "tags": self.tags, "rows": rows, **about()}
            file.add_key_value_metadata({KEY: json.dumps(said, ensure_ascii=True)})
        return rows

    def _table(self, part: Readings) -> Any:
        quality = quality_of(part.values, part.quality)
        time = pa.array(part.time_us.astype("datetime64[us]")).cast(pa.timestamp("us", "UTC"))
        columns = [pa.array(np.ascontiguousarray(column)) for column in part.values.T]
        codes = [pa.array(np.ascontiguousarray(column, np.uint8)) for column in quality.T]
        return pa.Table.from_arrays([time, *columns, *codes], schema=self.schema)


def _column_name(tag: str) -> str:
    """Return how the column of a tag is called: as no other, for other programs refuse that."""
    return TAG + tag if tag == TIME or tag.startswith((QUALITY, TAG)) else tag


def canonical_facts(path: Path) -> dict[str, Any]:
    """Return what the metadata of a canonical file say.

    Raises
    ------
    DataError
        The file is damaged, or is none of this kind.
    """
    try:
        said = (pq.read_metadata(path).metadata or {}).get(KEY)
        facts = json.loads(said) if said else None
    except (pa.ArrowException, OSError, ValueError):
        facts = None
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        raise DataError(
            f"{path.name}: no import that can be read (damaged, or of another version), expected "
            "one that `sensor-ad import` wrote: import the export again."
        )
    return facts


def read_canonical(path: Path, tags: Sequence[str]) -> Iterator[tuple[Readings, int]]:
    """Yield the readings of a canonical file, each part with the bytes that were read for it."""
    size = path.stat().st_size
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
            groups = file.metadata.num_row_groups
            for group in range(groups):
                table = file.read_row_group(group).combine_chunks()
                time_us = table.column(0).cast(pa.int64()).to_numpy()
                columns = [column.to_numpy() for column in table.columns[1:]]
                values = np.stack(columns[: len(tags)], axis=1)
                quality = np.stack(columns[len(tags) :], axis=1)
                told = size * (group + 1) // groups - size * group // groups
                yield Readings(time_us, values, tuple(tags), quality), told
    except (pa.ArrowException, OSError) as fault:
        said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise DataError(
            f"{path.name}: a damaged import ({said}), expected the file as it was written: remove "
            "it, and the export is imported again."
        ) from None


def account_table(account: RowAccount) -> dict[str, Any]:
    """Give an account as plain values."""
    return asdict(account)


def account_of(table: Mapping[str, Any]) -> RowAccount:
    """Give the account that `account_table` made plain."""
    return RowAccount(**{**table, "notes": tuple(table["notes"])})
