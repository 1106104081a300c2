"""The sections of a file in, one long table of plain columns out: tag, time, value, quality.

Whatever a section calls its columns, they have these names here, and so the readers of long tables
need to know nothing of sections.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, Wanted
from sensor_ad.exports.columns import Column
from sensor_ad.exports.layouts import Layout, TimeColumns
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.sectioned import Section
from sensor_ad.exports.sections import section_columns
from sensor_ad.exports.series_names import compose_tags
from sensor_ad.exports.tally import Tally

TAG, VALUE, QUALITY, TIME, CLOCK = "tag", "value", "quality", "time", "clock"


@dataclass(frozen=True)
class Sectioned:
    """One text file of several tables that was looked at."""

    path: Path
    size: int
    """Bytes."""
    sections: tuple[Section, ...]
    layout: Layout
    """Of the long table that they are together."""
    columns: dict[str, Column]
    """Of that table."""
    signs: Signs
    """How its numbers are written."""
    units: dict[str, str]
    """Tag -> unit, where the file gives them."""
    descriptions: dict[str, str]
    """Tag -> description, where the file gives them."""


def as_one_table(sections: Sequence[Section]) -> Sectioned:
    """Return the sections of one file as one long table.

    Raises
    ------
    DataError
        They write times or numbers in different ways, or some have qualities and others none.
    """
    first = sections[0]
    name = first.table.path.name
    signs = {Signs(s.table.dialect.decimal, s.table.dialect.thousands) for s in sections}
    if len(signs) > 1:
        raise _unlike(name, sections, "numbers with a decimal point and with a decimal comma")
    if len({s.layout.quality is None for s in sections}) > 1:
        raise _unlike(name, sections, "rows with a quality and rows without")
    names = _names(first)
    columns = {}
    for place, (own, given) in enumerate(names.items()):
        like = first.table.columns.get(given)
        times = _common_times(sections, own)
        if like is not None and like.times and not times:
            raise _unlike(name, sections, "times of different formats")
        columns[own] = (
            replace(like, name=own, position=place, times=times)
            if like is not None
            else Column(own, place, numbers=0, truths=0, texts=1, first_cell="", first_line=0)
        )
    time = TimeColumns(TIME, CLOCK if CLOCK in names else None)
    quality = QUALITY if QUALITY in names else None
    return Sectioned(
        path=first.table.path,
        size=first.table.size,
        sections=tuple(sections),
        layout=Layout("long", time, TAG, VALUE, quality, evidence=first.what),
        columns=columns,
        signs=signs.pop(),
        units={tag: unit for s in sections for tag, unit in s.units.items()},
        descriptions={tag: text for s in sections for tag, text in s.descriptions.items()},
    )


def sectioned_columns(
    source: Sectioned,
    wanted: Wanted,
    time: tuple[str, str] | None,
    block_bytes: int,
    tally: Tally,
) -> Iterator[Columns]:
    """Yield the columns wanted of all sections, block by block; as `sources.column_blocks`."""

    def asked(section: Section) -> Wanted:
        names = _names(section)
        parts = section.layout.tag_parts if TAG in wanted else ()
        kinds = {names[name]: kind for name, kind in wanted.items() if names[name]}
        return {**dict.fromkeys(parts, pa.string()), **kinds}

    def stamp(section: Section) -> tuple[str, str] | None:
        return None if time is None else (_names(section)[time[0]], time[1])

    for section, block in section_columns(source.sections, asked, stamp, block_bytes, tally):
        names = _names(section)
        table = pa.table(
            {
                name: compose_tags(block.table, section.layout.tag_parts)
                if name == TAG and section.layout.tag_parts
                else block.table[names[name]]
                for name in wanted
            }
        )
        yield replace(block, table=table)


def _names(section: Section) -> dict[str, str]:
    """Return the columns of the one table, each with what this section calls it.

    The tag's is missing from the section where it is made of several columns.
    """
    layout = section.layout
    time = layout.time or TimeColumns("")
    given = {
        TAG: layout.tag,
        TIME: time.stamp,
        CLOCK: time.clock,
        VALUE: layout.value,
        QUALITY: layout.quality,
    }
    names = {own: name for own, name in given.items() if name is not None}
    return names if layout.tag is not None else {TAG: "", **names}


def _common_times(sections: Sequence[Section], own: str) -> tuple[str, ...]:
    """Return the formats of time that a column may have in all sections."""
    columns = [s.table.columns.get(_names(s)[own]) for s in sections]
    shown = [column.times if column is not None else () for column in columns]
    return tuple(form for form in shown[0] if all(form in some for some in shown))


def _unlike(name: str, sections: Sequence[Section], what: str) -> DataError:
    return DataError(
        f"{name}: {what} in its {len(sections)} tables ({sections[0].what}), expected tables that "
        "are written in one way: export them to files of their own."
    )
