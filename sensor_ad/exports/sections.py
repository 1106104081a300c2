"""A text file that holds several tables in, its sections and the blocks of their columns out.

Three formats are known: the CSV files of GE's Proficy Historian (`proficy`), those that AVEVA
Historian imports (`aveva`), and annotated CSV of InfluxDB (`annotated`). Each section is a long
table. All are read in one passage through the file, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.errors import DataError
from sensor_ad.exports import annotated, aveva, proficy
from sensor_ad.exports.blocks import Columns, Wanted
from sensor_ad.exports.probe import first_lines
from sensor_ad.exports.sectioned import Lines, Section, look_at_lines
from sensor_ad.exports.series_names import fill_defaults
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.tables import TableReader
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.text import TextBlock, text_blocks
from sensor_ad.records import Bools


def find_sections(path: Path, settings: ReadSettings, tally: Tally) -> list[Section] | None:
    """Return the sections of a file that hold rows, None when it is no sectioned file.

    The first lines say whether it is one; only then the file is looked through.

    Raises
    ------
    DataError
        A section is not known, not whole, or tells of an error; or the file is a configuration.
    NoRowsError
        No section has rows.
    """
    encoding, probe = first_lines(path, settings)
    for find in (aveva.find, proficy.find, annotated.find):
        sections = find(path, encoding, probe, settings, tally)
        if sections is not None:
            return sections
    return None


def section_columns(
    sections: Sequence[Section],
    wanted: Callable[[Section], Wanted],
    time: Callable[[Section], tuple[str, str] | None],
    block_bytes: int,
    tally: Tally,
) -> Iterator[tuple[Section, Columns]]:
    """Yield the columns wanted of all sections of one file, block by block, in file order.

    Empty cells that have a default are filled. Rows are numbered through all sections.

    Parameters
    ----------
    sections
        Of one file, as `find_sections` returns them (or some of these).
    wanted
        Section -> its columns, each with its Arrow type; one that does not hold it comes as text.
    time
        Section -> the column of the time and the name of its format.

    Raises
    ------
    DataError
        As `TableReader.blocks`, and when a column holds what must not stand in it.
    """
    rows = 0
    for k, pieces in groupby(_pieces(sections, block_bytes), key=itemgetter(0)):
        section = sections[k]
        asked = wanted(section)
        kinds = {**asked, **dict.fromkeys(section.constants, pa.string())}
        kinds |= {name: pa.string() for name in section.defaults if name in asked}
        reader = TableReader(section.table, kinds, time(section), block_bytes, tally)
        reader.rows = rows
        for block in reader.blocks(_without_marks(section, map(itemgetter(1), pieces))):
            _check_constants(section, block)
            table = fill_defaults(block.table.select([*asked]), section.defaults)
            yield section, replace(block, table=table)
        rows = reader.rows


def _pieces(sections: Sequence[Section], block_bytes: int) -> Iterator[tuple[int, TextBlock]]:
    """Yield the lines of all sections, each piece with its section's place in the list."""
    table = sections[0].table
    k = bytes_read = 0
    for text in text_blocks(
        table.path, table.dialect.encoding, block_bytes, said=table.encoding_said
    ):
        lines = look_at_lines(text)
        last = len(lines.starts) - 1
        bytes_read += text.bytes_read
        while k < len(sections) and sections[k].first_line <= lines.number(last):
            begin = max(sections[k].first_line - text.first_line, 0)
            end = min(sections[k].last_line - text.first_line, last)
            if begin <= end:
                data = text.data[lines.starts[begin] : lines.ends[end] + 1]
                yield (
                    k,
                    replace(text, data=data, first_line=lines.number(begin), bytes_read=bytes_read),
                )
                bytes_read = 0
            if sections[k].last_line > lines.number(last):
                break
            k += 1
        if k == len(sections):
            return


def _without_marks(section: Section, texts: Iterator[TextBlock]) -> Iterator[TextBlock]:
    """Make lines blank that are no rows; the others keep their numbers."""
    below = False
    for text in texts:
        lines = look_at_lines(text)
        gone = np.isin(lines.firsts, np.frombuffer(section.marks, dtype=np.uint8))
        if section.header_below_marks:
            before = np.concatenate([[below], gone[:-1]])
            below = bool(gone[-1])
            gone |= before
        if gone.any():
            text = replace(text, data=_emptied(lines, gone))
        if text.data:
            yield text


def _emptied(lines: Lines, gone: Bools) -> bytes:
    """Return the lines of a block, those in (lines,) `gone` without what stands in them."""
    data, done = lines.text.data, 0
    parts = []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gone.astype(np.int8), [0]])))
    for begin, end in edges.reshape(-1, 2).tolist():
        parts += [data[done : lines.starts[begin]], b"\n" * (end - begin - 1)]
        done = lines.ends[end - 1]
    return b"".join([*parts, data[done:]])


def _check_constants(section: Section, block: Columns) -> None:
    """Refuse rows that cannot be understood."""
    for name, constant in section.constants.items():
        cells = pc.utf8_trim_whitespace(block.table[name])
        known = pc.is_in(cells, value_set=pa.array(constant.texts))
        if not pc.all(known, min_count=0).as_py():
            k = pc.index(known, False).as_py()
            raise DataError(
                f"{block.file}, {block.where(k)}, column {quoted(name)}: "
                f"{quoted(cells[k].as_py())}, expected {constant.expected}: {constant.remedy}."
            )


__all__ = ["Section", "find_sections", "section_columns"]
