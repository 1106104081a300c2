"""Paths in, one stream of readings in time order out, with an account of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Block, Plan
from sensor_ad.exports.duplicates import one_row_per_time
from sensor_ad.exports.event_files import EventFiles
from sensor_ad.exports.found import describe_profile, profile_of
from sensor_ad.exports.importing import (
    Progress,
    Single,
    import_events,
    import_rows,
    spooled_readings,
)
from sensor_ad.exports.imports import ImportedExport, Imports
from sensor_ad.exports.joined import JoinedFiles, share_no_tag
from sensor_ad.exports.layouts import Layout, TimeColumns, find_layout
from sensor_ad.exports.order import OutOfOrderError, Rows, Sorter
from sensor_ad.exports.places import Place, find_places
from sensor_ad.exports.profile import Profile, check_against, with_profile
from sensor_ad.exports.section_source import Sectioned
from sensor_ad.exports.settings import UNSAID_ZONE, ReadSettings, check_settings, start_us
from sensor_ad.exports.sources import Source, column_blocks, look_at_all, signs_of
from sensor_ad.exports.survey import time_formats
from sensor_ad.exports.tags import find_tags
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.vocabulary import extra_words
from sensor_ad.exports.wide import WideReader
from sensor_ad.records import Readings, RowAccount


class Export:
    """Wide tables: one file, several, or a folder, read as one stream in time order."""

    def __init__(
        self,
        sources: Sequence[Source],
        plan: Plan,
        settings: ReadSettings,
        tally: Tally,
        profile: Profile,
    ):
        self.tags: tuple[str, ...] = tuple(plan.tags)
        """The columns of values, in file order."""
        self.total_bytes = sum(source.size for source in sources)
        self.found = profile
        """How the files are written."""
        self.profile = describe_profile(sources, profile)
        """The same with the files, for people and for the record of a run."""
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
        handed = False
        try:
            for readings in self._streamed(progress):
                handed = True
                yield readings
        except OutOfOrderError:
            if handed:
                raise
            yield from self._spooled()

    def _streamed(self, progress: Callable[[int], None] | None) -> Iterator[Readings]:
        """Yield the readings of files in time order, within the look-back."""
        tally = self.new_tally()
        sorter = Sorter(self._settings.lookback_rows)
        for block in self.blocks(tally, progress):
            for rows in sorter.push(block):
                yield self.readings(rows, tally)
        for rows in sorter.rest():
            yield self.readings(rows, tally)
        tally.sorted = sorter.late
        self._account = tally.account(self.tags)

    def _spooled(self) -> Iterator[Readings]:
        """Yield the readings of files in any order: each row goes through the disk."""
        tally = self.new_tally()
        with TemporaryDirectory(prefix="sensor-ad-") as folder:
            yield from spooled_readings(self, Path(folder), tally, None)
        self._account = tally.account(self.tags)

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """Digital tag -> its states in the order of their numbers."""
        return {tag: states for tag, states in self._plan.tags.items() if states}

    @property
    def units(self) -> Mapping[str, str]:
        """Tag -> unit, where the files give one."""
        return {tag: unit for tag, unit in self.found.units.items() if tag in self.tags}

    def account(self) -> RowAccount:
        """Return where the rows went; to be asked when `chunks` has come to its end."""
        if self._account is None:
            raise RuntimeError("account() was asked before chunks() came to its end")
        return self._account

    def new_tally(self) -> Tally:
        """Return what counts the rows of one reading."""
        return Tally(notes=list(self._opened.notes))

    def readings(self, rows: Rows, tally: Tally) -> Readings:
        """Make one row for each time of sorted rows, and count them."""
        rows = one_row_per_time(rows, self.tags, self._settings.duplicates, tally)
        time_us, values, quality = rows
        tally.kept += len(time_us)
        return Readings(time_us, values, self.tags, quality)

    def blocks(self, tally: Tally, progress: Callable[[int], None] | None) -> Iterator[Block]:
        """Yield the rows as they stand in the files."""
        plan = self._plan
        wanted = plan.wanted()
        for source in self._sources:
            told = 0
            # Rows of the files before it are counted already, for times made from row numbers.
            reader = WideReader(source.path.name, signs_of(source), plan, tally.rows_in, tally)
            parts = column_blocks(source, wanted, plan.stamp, plan.block_bytes, tally)
            for block in reader.blocks(parts):
                yield block
                told += block.bytes_read
                if progress is not None:
                    progress(block.bytes_read)
            if progress is not None and told < source.size:
                progress(source.size - told)


def open_export(
    paths: Sequence[Path],
    settings: ReadSettings,
    imports: Imports | None = None,
    progress: Progress | None = None,
    keep: bool = False,
) -> Export | ImportedExport:
    """Look at the files and say how they are to be read.

    Wide tables are read as they are. Files of single values are imported first: brought into one
    canonical file. What was imported before is recognised, and costs nothing.

    Parameters
    ----------
    paths
        Files and folders, which together are one export.
    settings
        What the engineer says about it.
    imports
        Where imports are kept; a temporary folder when None.
    progress
        Told the bytes read and those in all, while files are imported.
    keep
        Import wide tables, too; their rows may come in any order then.

    Raises
    ------
    DataError
        For what can be seen at once: no table, no time, columns that differ from file to file; and
        for whatever an import meets.
    UsageError
        When the settings cannot be used.
    """
    if settings.profile is not None:
        settings = with_profile(settings, settings.profile)
    check_settings(settings)
    tally = Tally()
    places = find_places(paths, tally)
    files = [place.path for place in places]
    imports = imports or Imports()
    known = imports.path(files, settings) if imports.lasting and imports.folder.is_dir() else None
    if known is not None and known.is_file():
        return ImportedExport(known, files, imports)
    opened = _opened(places, settings, tally)
    if isinstance(opened, Export) and not keep:
        return opened
    path = known or imports.path(files, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(opened, Export):
        import_rows(opened, path, progress)
    else:
        import_events(opened, path, progress)
    return ImportedExport(path, files, imports)


def _opened(places: Sequence[Place], settings: ReadSettings, tally: Tally) -> Export | Single:
    """Look at files that are read for the first time."""
    sources = look_at_all(places, settings, tally)
    layout = _layout(sources, settings)
    if layout.kind == "tag files" and not _overlap(sources, settings):
        layout = replace(layout, kind="wide")
    joined = layout.kind == "wide" and share_no_tag(sources, layout, settings)
    if joined:
        layout = replace(layout, evidence="files of different tags, joined by their times")
    else:
        _check_same_columns(sources, settings)
    time = layout.time
    formats = {} if time is None else time_formats(sources, time, settings)
    for pair in layout.pairs:
        formats |= time_formats(sources, TimeColumns(pair.time), settings)
    plan = Plan(
        tags={},
        time=time,
        time_formats=formats,
        zone=settings.timezone or UNSAID_ZONE,
        zone_said=settings.timezone is not None,
        standard_time=settings.clock == "standard time",
        start_us=start_us(settings),
        period_us=(settings.period_s or 0.0) * 1e6,
        block_bytes=settings.block_bytes,
        texts=extra_words(settings.texts),
    )
    profile = profile_of(sources[0], layout, plan, settings)
    if settings.profile is not None:
        hidden = (*settings.label_columns, *settings.ignore_columns)
        for source in sources:
            found = profile_of(source, layout, plan, settings)
            check_against(settings.profile, found, source.path.name, hidden)
    sources = _in_time_order(sources, plan)
    if joined:
        return Single(JoinedFiles(sources, layout, plan, settings), profile, tally)
    if layout.kind != "wide":
        return Single(EventFiles(sources, layout, plan, settings), profile, tally)
    if layout.value is not None or layout.quality is not None or layout.unit is not None:
        layout = replace(layout, value=None, quality=None, unit=None)
    tags = find_tags(sources, layout, settings, tally)
    if not tags:
        raise DataError(
            f"{sources[0].path.name}: no column with numbers, expected at least one tag: check "
            "which tags were exported."
        )
    plan = replace(plan, tags=tags)
    states = {tag: states for tag, states in plan.tags.items() if states}
    return Export(sources, plan, settings, tally, replace(profile, states=states))


def _layout(sources: Sequence[Source], settings: ReadSettings) -> Layout:
    """Tell how the tables are laid out; files of several tables say it themselves."""
    first = sources[0]
    for source in sources[1:]:
        if isinstance(source, Sectioned) != isinstance(first, Sectioned):
            raise DataError(
                f"{source.path.name} and {first.path.name}: a plain table and a file of several "
                "tables, expected files of one kind: read them apart."
            )
    if isinstance(first, Sectioned):
        return first.layout
    return find_layout(first.path.name, first.columns, settings)


def _overlap(sources: Sequence[Source], settings: ReadSettings) -> bool:
    """Say whether files of one value column are of different tags: they begin at the same time.

    Parts of one tag's history follow one another instead.
    """
    if settings.layout == "tag files":
        return True
    if len(sources) < 2:
        return False
    stems = {source.path.stem for source in sources}
    firsts = [
        next((c.first_cell for c in source.columns.values() if c.times), "") for source in sources
    ]
    return len(stems) == len(sources) and len({*firsts}) <= max(1, len(firsts) // 2)


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


def _in_time_order(sources: Sequence[Source], plan: Plan) -> list[Source]:
    """Return the files by the time of their first row; as given where there are no times."""
    if plan.time is None or len(sources) == 1:
        return list(sources)
    return sorted(sources, key=lambda source: first_time(source, plan))


def first_time(source: Source, plan: Plan) -> int:
    """Return the time of a file's first row as the file writes it, UTC if it carries a zone."""
    assert plan.time is not None
    column = source.columns[plan.time.stamp]
    cell = pa.array([column.first_cell])
    return int(plan.time_formats[plan.time.stamp].read(cell)[0][0])  # 0: reading refuses it
