"""What the columns of an export are: the time, tags, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sensor_ad.errors import DataError
from sensor_ad.exports.cells import NULLS, NUMBERS, TRUTHS
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import (
    FORMATS,
    NOT_READ_YET,
    NOT_READ_YET_BY_NAME,
    find_format,
    sounds_like_time,
)


class NoRowsError(DataError):
    """A table without rows: nothing to read alone, no matter among other files."""


@dataclass(frozen=True)
class Column:
    """One column of a file, as its first rows show it."""

    name: str
    position: int
    numbers: int
    """Cells that are numbers."""
    truths: int
    """Cells that are true or false."""
    texts: int
    """Cells that are anything else."""
    time_format: str | None
    """The time format that all its cells have."""
    strange_format: str | None
    """A time format that is not read yet."""
    first_cell: str
    """The first cell that is not empty; if most are times of one format, the first that is one."""
    first_line: int
    unnamed: bool = False
    """The header has no name for it; `name` says where it stands."""


def describe(
    name: str,
    position: int,
    cells: Sequence[tuple[int, str]],
    decimal: str,
    unnamed: bool = False,
) -> Column:
    """Count what the first cells of a column are; they come with the numbers of their lines."""
    given = [(line, cell) for line, cell in cells if cell not in NULLS]
    texts = [cell for _, cell in given]
    time_format = find_format(texts, FORMATS)
    if time_format:
        given = [pair for pair in given if FORMATS[time_format].fullmatch(pair[1])]
    numbers = sum(NUMBERS[decimal].fullmatch(cell) is not None for cell in texts)
    truths = sum(cell.lower() in TRUTHS for cell in texts)
    return Column(
        name=name,
        position=position,
        numbers=numbers,
        truths=truths,
        texts=len(texts) - numbers - truths,
        time_format=time_format,
        strange_format=find_format(texts, NOT_READ_YET) or find_format(texts, NOT_READ_YET_BY_NAME),
        first_cell=given[0][1] if given else "",
        first_line=given[0][0] if given else 0,
        unnamed=unnamed,
    )


def find_time_column(
    file: str, columns: Mapping[str, Column], settings: ReadSettings
) -> str | None:
    """Return the name of the time column, None when the time is made from the row's number.

    Raises
    ------
    DataError
        When there is none, more than one, or one that cannot be read.
    """
    if settings.start is not None:
        return None
    if settings.time_column is not None:
        return _given_time_column(file, columns, settings.time_column)
    hidden = {*settings.label_columns, *settings.ignore_columns}
    candidates = [c for c in columns.values() if c.time_format and c.name not in hidden]
    if len(candidates) > 1:
        named = [column for column in candidates if sounds_like_time(column.name)]
        candidates = named if len(named) == 1 else candidates
    if len(candidates) > 1:
        raise DataError(
            f"{file}: {len(candidates)} columns hold times "
            f"({', '.join(quoted(column.name) for column in candidates)}), expected one: say "
            "which by data.time_column."
        )
    if candidates:
        return candidates[0].name
    raise _no_time_column(file, [c for c in columns.values() if c.name not in hidden])


def _given_time_column(file: str, columns: Mapping[str, Column], name: str) -> str:
    if name not in columns:
        near = get_close_matches(name, columns, 1, 0.0) or list(columns)[:1]
        raise DataError(
            f"{file}: no column {quoted(name)}, which data.time_column names, among "
            f"{len(columns)} columns; the nearest is {quoted(near[0])}: correct data.time_column."
        )
    column = columns[name]
    if column.time_format is None:
        found = f"holds {quoted(column.first_cell)}" if column.first_cell else "is empty"
        strange = f" ({column.strange_format})" if column.strange_format else ""
        raise DataError(
            f"{file}: the time column {quoted(name)} {found}{strange} in line "
            f"{column.first_line or 2}, expected ISO times such as 2026-01-31 23:59:00: export "
            "the times like that, or name another column."
        )
    return name


def _no_time_column(file: str, columns: Sequence[Column]) -> DataError:
    for column in columns:
        by_look = column.strange_format in NOT_READ_YET
        if column.strange_format and (by_look or sounds_like_time(column.name)):
            return DataError(
                f"{file}: column {quoted(column.name)} holds times as {column.strange_format} "
                f"({quoted(column.first_cell)} in line {column.first_line}), expected ISO times "
                "such as 2026-01-31 23:59:00: export the times like that."
            )
    for column in columns:
        if sounds_like_time(column.name) and column.texts:
            return DataError(
                f"{file}: column {quoted(column.name)} sounds like the time, but holds "
                f"{quoted(column.first_cell)} in line {column.first_line}, expected ISO times "
                "such as 2026-01-31 23:59:00: export the times like that."
            )
    names = ", ".join(quoted(column.name) for column in columns[:5])
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    return DataError(
        f"{file}: no time column among {names}{more}, expected one with ISO times such as "
        "2026-01-31 23:59:00: export it too, or give data.start and data.period_s."
    )


def find_tags(
    files: Sequence[Mapping[str, Column]],
    time_column: str | None,
    settings: ReadSettings,
    tally: Tally,
) -> dict[str, bool]:
    """Return the tags in file order, each with whether its values are true and false.

    A column is text, and left out, when no file has a number in it and one has something else.
    """
    hidden = {time_column, *settings.label_columns, *settings.ignore_columns}
    tags = {}
    left_out = []
    for name in files[0]:
        if name in hidden:
            continue
        seen = [columns[name] for columns in files]
        numbers, truths = sum(c.numbers for c in seen), sum(c.truths for c in seen)
        if seen[0].unnamed:
            tally.note(f"{name} has no name in the header: left out")
        elif numbers or truths or not any(column.texts for column in seen):
            tags[name] = truths > 0 and numbers == 0
        else:
            left_out.append(name)
    if left_out:
        tally.note(
            f"{len(left_out)} column{'s' * (len(left_out) > 1)} without numbers left out: "
            f"{', '.join(map(quoted, left_out))}"
        )
    return tags
