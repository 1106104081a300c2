"""Files in, what each of them is and the blocks of its columns out, whatever its container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, Wanted
from sensor_ad.exports.books import Book, book_columns, sniff_book
from sensor_ad.exports.columns import NoRowsError
from sensor_ad.exports.files import file_kind
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.parquet import ParquetTable, parquet_columns, sniff_parquet
from sensor_ad.exports.places import Place
from sensor_ad.exports.section_source import Sectioned, as_one_table, sectioned_columns
from sensor_ad.exports.sections import find_sections
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sniff import sniff
from sensor_ad.exports.tables import Table, TableReader
from sensor_ad.exports.tally import Tally

Source = Table | ParquetTable | Book | Sectioned


def look_at_all(files: Sequence[Place], settings: ReadSettings, tally: Tally) -> list[Source]:
    """Look at every file; one without rows is refused only when it is the only one."""
    sources: list[Source] = []
    for k, place in enumerate(files):
        try:
            sources.append(_look(place, settings, tally))
        except NoRowsError:
            if k + 1 == len(files) and not sources:
                raise
            tally.note(f"{place.path.name}: no rows, skipped")
    return sources


def column_blocks(
    source: Source,
    wanted: Wanted,
    time: tuple[str, str] | None,
    block_bytes: int,
    tally: Tally,
) -> Iterator[Columns]:
    """Yield the columns wanted of a file, block by block, in file order.

    Parameters
    ----------
    wanted
        Column -> Arrow type; a column that does not hold it comes as text.
    time
        The column of the time and the name of its format, where there is one.
    """
    try:
        if isinstance(source, Table):
            yield from TableReader(source, wanted, time, block_bytes, tally).blocks()
        elif isinstance(source, Sectioned):
            yield from sectioned_columns(source, wanted, time, block_bytes, tally)
        elif isinstance(source, Book):
            yield from book_columns(source, wanted, tally)
        else:
            yield from parquet_columns(source, wanted, block_bytes, tally)
    except OSError as fault:
        raise DataError(
            f"{source.path.name}: cannot be read any more ({fault.strerror}), expected the file "
            "that was opened: check the disk and start again."
        ) from None


def signs_of(source: Source) -> Signs:
    """Return how a file writes numbers as texts."""
    if isinstance(source, Sectioned):
        return source.signs
    if isinstance(source, Table):
        return Signs(source.dialect.decimal, source.dialect.thousands)
    return Signs()


def _look(place: Place, settings: ReadSettings, tally: Tally) -> Source:
    path = place.path
    kind = file_kind(path, settings).kind
    size = path.stat().st_size
    if kind == "parquet":
        columns = sniff_parquet(path, tally, place.partition, place.plain)
        return ParquetTable(path, size, columns, place.partition, place.plain)
    if place.partition:
        tally.note("folders named key=value say nothing of text files")
    if kind == "excel":
        return sniff_book(path, settings, tally)
    sections = find_sections(path, settings, tally)
    if sections is not None:
        return as_one_table(sections)
    dialect, columns = sniff(path, settings)
    return Table(path, size, dialect, columns, settings.encoding is not None)
