"""An export that was looked at in, its canonical file out: single values, or rows in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Block, quality_of
from sensor_ad.exports.day_spool import DaySpool
from sensor_ad.exports.event_files import EventFiles
from sensor_ad.exports.event_rules import EventSettings, TagRule
from sensor_ad.exports.event_stream import EventImport
from sensor_ad.exports.found import describe_profile
from sensor_ad.exports.imports import write_import
from sensor_ad.exports.joined import JoinedFiles
from sensor_ad.exports.order import Rows
from sensor_ad.exports.profile import Profile
from sensor_ad.exports.tally import Tally
from sensor_ad.records import Readings

if TYPE_CHECKING:
    from sensor_ad.exports.stream import Export

Progress = Callable[[int, int], None]
"""Told the bytes read so far, and those in all."""


@dataclass(frozen=True)
class Single:
    """Files of single values that were looked at."""

    files: EventFiles | JoinedFiles
    profile: Profile
    tally: Tally
    """Notes of the opening."""


def import_events(single: Single, path: Path, progress: Progress | None = None) -> None:
    """Import files of single values.

    Raises
    ------
    DataError
        Something in them cannot be read, or contradicts itself.
    """
    settings = single.files.settings
    tally = Tally(notes=list(single.tally.notes))
    reading, states = single.files.survey()
    if not reading.tags:
        raise DataError(
            f"{single.files.sources[0].path.name}: no tag with values, expected at least one: "
            "check which tags were exported."
        )
    rules = EventSettings(
        period_s=settings.grid_s,
        duplicates=settings.duplicates,
        hold_s=settings.max_hold_s,
        uncertain_is_bad=settings.treat_uncertain_as_bad,
    )
    total = sum(source.size for source in single.files.sources)
    done = 0
    with EventImport(path.parent, rules, tally) as imported:
        for events in single.files.events(reading, tally):
            imported.add(events)
            done += events.bytes_read
            if progress is not None:
                progress(min(done, total), total)
        stepped = {*settings.stepped, *states}
        tags = sorted(reading.tags, key=reading.tags.__getitem__)
        stream = imported.finish([TagRule(tag, True if tag in stepped else None) for tag in tags])
        for tag, some in states.items():
            told = ", ".join(f"{state!r} = {k}" for k, state in enumerate(some))
            tally.note(f"tag {tag}: digital, {told}")
        period_us = stream.found.period_us
        units = {
            tag: next(iter(facts.units))
            for tag, facts in single.files.facts.items()
            if facts.units and tag in reading.tags
        }
        profile = replace(
            single.profile,
            quality_codes=reading.codes,
            states=states,
            units={**single.profile.units, **units},
            grid_s=None if period_us is None else period_us / 1e6,
        )
        write_import(
            path,
            stream.readings(),
            stream.tags,
            lambda: tally.account(stream.tags),
            _about(single.files, profile),
        )


def import_rows(export: Export, path: Path, progress: Progress | None = None) -> None:
    """Import wide tables whose rows may stand in any order; each row goes through the disk."""
    tally = export.new_tally()
    tags = export.tags
    done = 0

    def read(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, export.total_bytes)

    write_import(
        path,
        spooled_readings(export, path.parent, tally, read),
        tags,
        lambda: tally.account(tags),
        {
            "profile": export.profile,
            "found": asdict(export.found),
            "states": export.states,
            "units": export.units,
        },
    )


def spooled_readings(
    export: Export, folder: Path, tally: Tally, progress: Callable[[int], None] | None
) -> Iterator[Readings]:
    """Yield the readings of wide tables whose rows stand in any order, by way of the disk.

    Parameters
    ----------
    folder
        Where rows are laid aside, in about the size of the values.
    tally
        Counts the rows.
    """
    latest = np.iinfo(np.int64).min
    with DaySpool(folder) as spool:
        for block in export.blocks(tally, progress):
            if len(block.time_us):
                running = np.maximum(np.maximum.accumulate(block.time_us), latest)
                tally.sorted += int((block.time_us < running).sum())
                latest = int(running[-1])
                spool.add(_batch(block, export.tags))
        yield from _sorted_readings(export, spool, tally)


def _about(files: EventFiles | JoinedFiles, profile: Profile) -> dict[str, Any]:
    return {
        "profile": describe_profile(files.sources, profile),
        "found": asdict(profile),
        "states": profile.states,
        "units": profile.units,
    }


def _batch(block: Block, tags: tuple[str, ...]) -> pa.RecordBatch:
    """Lay a block out for the spool: the time, values and qualities by position."""
    quality = quality_of(block.values, block.quality)
    columns = [pa.array(np.ascontiguousarray(column)) for column in block.values.T]
    codes = [pa.array(np.ascontiguousarray(column, np.uint8)) for column in quality.T]
    names = ["time_us", *(f"v{k}" for k in range(len(tags))), *(f"q{k}" for k in range(len(tags)))]
    return pa.RecordBatch.from_arrays([pa.array(block.time_us), *columns, *codes], names=names)


def _sorted_readings(export: Export, spool: DaySpool, tally: Tally) -> Iterator[Readings]:
    for table in spool.tables():
        columns = [column.to_numpy() for column in table.columns]
        C = len(export.tags)
        values = np.stack(columns[1 : C + 1], axis=1)
        rows: Rows = (columns[0], values, np.stack(columns[C + 1 :], axis=1))
        yield export.readings(rows, tally)
