"""Paths in, one stream of readings in time order out, with an account of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Block, Plan
from sensor_ad.exports.columns import NoRowsError, find_tags, find_time_column
from sensor_ad.exports.duplicates import one_row_per_time
from sensor_ad.exports.files import file_kind, find_files
from sensor_ad.exports.order import Rows, Sorter
from sensor_ad.exports.parquet import ParquetTable, parquet_blocks, sniff_parquet
from sensor_ad.exports.settings import UNSAID_ZONE, ReadSettings, check_settings, start_us
from sensor_ad.exports.sniff import sniff
from sensor_ad.exports.tables import Table, TableReader
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import ZONED, BadTimeError, parse_times, to_utc
from sensor_ad.records import Readings, RowAccount

Source = Table | ParquetTable


class Export:
    """One export: one file, several, or a folder, read as one stream in time order."""

    def __init__(self, sources: Sequence[Source], plan: Plan, settings: ReadSettings, tally: Tally):
        self.tags: tuple[str, ...] = tuple(plan.tags)
        """The columns of values, in file order."""
        self.total_bytes = sum(source.size for source in sources)
        self.profile = _profile(sources, plan)
        """How the files are read: separator, decimal, encoding, time column and format, files."""
        self._sources, self._plan, self._settings = sources, plan, settings
        self._opened = tally
        self._account: RowAccount | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order in which they are read."""
        return tuple(source.path for source in self._sources)

    def chunks(self, progress: Callable[[int], None] | None = None) -> Iterator[Readings]:
        """Yield the readings, sorted by time, one row for each time.

        Parameters
        ----------
        progress
            Called with the number of bytes read since its last call; they add up to `total_bytes`.

        Raises
        ------
        DataError
            When a row cannot be read, or stands too far out of order.
        """
        self._account = None
        tally = Tally(notes=list(self._opened.notes))
        sorter = Sorter(self._settings.lookback_rows)
        for block in self._blocks(tally, progress):
            for rows in sorter.push(block):
                yield self._readings(rows, tally)
        for rows in sorter.rest():
            yield self._readings(rows, tally)
        tally.sorted = sorter.late
        self._account = tally.account(self.tags)

    def account(self) -> RowAccount:
        """Return where the rows went; to be asked when `chunks` has come to its end."""
        if self._account is None:
            raise RuntimeError("account() was asked before chunks() came to its end")
        return self._account

    def _readings(self, rows: Rows, tally: Tally) -> Readings:
        time_us, values = one_row_per_time(rows, self.tags, self._settings.duplicates, tally)
        tally.kept += len(time_us)
        return Readings(time_us, values, self.tags)

    def _blocks(self, tally: Tally, progress: Callable[[int], None] | None) -> Iterator[Block]:
        for source in self._sources:
            told = 0
            for block in _read(source, self._plan, tally):
                yield block
                told += block.bytes_read
                if progress is not None:
                    progress(block.bytes_read)
            if progress is not None and told < source.size:
                progress(source.size - told)


def open_export(paths: Sequence[Path], settings: ReadSettings) -> Export:
    """Look at the files and say how they are to be read.

    Parameters
    ----------
    paths
        Files and folders, which together are one export.
    settings
        What the engineer says about it.

    Raises
    ------
    DataError
        For what can be seen at once: no table, no time, columns that differ from file to file.
    UsageError
        When the settings cannot be used.
    """
    check_settings(settings)
    tally = Tally()
    sources = _look_at_all(find_files(paths, tally), settings, tally)
    _check_same_columns(sources, settings)
    time_column = find_time_column(sources[0].path.name, sources[0].columns, settings)
    for source in sources[1:]:
        _check_same_time(source, time_column, sources[0])
    tags = find_tags([source.columns for source in sources], time_column, settings, tally)
    if not tags:
        raise DataError(
            f"{sources[0].path.name}: no column with numbers, expected at least one tag: check "
            "which tags were exported."
        )
    plan = Plan(
        tags=tags,
        time_column=time_column,
        zone=settings.timezone or UNSAID_ZONE,
        zone_said=settings.timezone is not None,
        start_us=start_us(settings),
        period_us=(settings.period_s or 0.0) * 1e6,
        block_bytes=settings.block_bytes,
    )
    return Export(_in_time_order(sources, plan), plan, settings, tally)


def _look_at_all(files: Sequence[Path], settings: ReadSettings, tally: Tally) -> list[Source]:
    """Look at every file; one without rows is refused only when it is the only one."""
    sources: list[Source] = []
    for k, path in enumerate(files):
        try:
            sources.append(_look(path, settings))
        except NoRowsError:
            if k + 1 == len(files) and not sources:
                raise
            tally.note(f"{path.name}: no rows, skipped")
    return sources


def _look(path: Path, settings: ReadSettings) -> Source:
    kind = file_kind(path)
    size = path.stat().st_size
    if kind == "parquet":
        return ParquetTable(path, size, sniff_parquet(path))
    dialect, columns = sniff(path, settings)
    return Table(path, size, dialect, columns)


def _read(source: Source, plan: Plan, tally: Tally) -> Iterator[Block]:
    """Yield a file's rows in file order; rows of the files before it are counted already."""
    first_row = tally.rows_in
    try:
        if isinstance(source, Table):
            yield from TableReader(source, plan, tally, first_row).blocks()
        else:
            yield from parquet_blocks(source, plan, tally, first_row)
    except OSError as fault:
        raise DataError(
            f"{source.path.name}: cannot be read any more ({fault.strerror}), expected the file "
            "that was opened: check the disk and start again."
        ) from None


def _check_same_columns(sources: Sequence[Source], settings: ReadSettings) -> None:
    """Refuse files whose columns differ, whatever their order."""
    hidden = {*settings.label_columns, *settings.ignore_columns}
    expected = set(sources[0].columns) - hidden
    for source in sources[1:]:
        found = set(source.columns) - hidden
        differences = [
            f"{what} {', '.join(map(quoted, sorted(names)[:5]))}"
            for what, names in (("lacks", expected - found), ("adds", found - expected))
            if names
        ]
        if differences:
            raise DataError(
                f"{source.path.name}: {' and '.join(differences)}, expected the columns of "
                f"{sources[0].path.name}: read these files apart, or name the columns in "
                "data.ignore_columns."
            )


def _check_same_time(source: Source, time_column: str | None, first: Source) -> None:
    if time_column is None or source.columns[time_column].time_format is not None:
        return
    cell = source.columns[time_column].first_cell
    raise DataError(
        f"{source.path.name}: column {quoted(time_column)} holds {quoted(cell)}, expected ISO "
        f"times as in {first.path.name}: export these files in one and the same way."
    )


def _in_time_order(sources: Sequence[Source], plan: Plan) -> list[Source]:
    """Return the files by the time of their first row; as given where there are no times."""
    if plan.time_column is None or len(sources) == 1:
        return list(sources)
    return sorted(sources, key=lambda source: _first_time(source, plan))


def _first_time(source: Source, plan: Plan) -> int:
    column = source.columns[plan.time_column or ""]
    time_format = column.time_format or ""
    try:
        time_us = parse_times(pa.array([column.first_cell]), time_format)
        return int((time_us if time_format == ZONED else to_utc(time_us, plan.zone))[0])
    except BadTimeError:
        return 0  # reading refuses it, and knows the line


def _profile(sources: Sequence[Source], plan: Plan) -> dict[str, object]:
    first = sources[0]
    profile: dict[str, object] = {
        "files": [{"name": source.path.name, "bytes": source.size} for source in sources],
        "zone": plan.zone,
        "time column": plan.time_column,
        "time format": "row number"
        if plan.time_column is None
        else first.columns[plan.time_column].time_format,
        "kind": "csv" if isinstance(first, Table) else "parquet",
    }
    if isinstance(first, Table):
        profile["separator"] = first.dialect.separator
        profile["decimal"] = first.dialect.decimal
        profile["encoding"] = first.dialect.encoding
    return profile
