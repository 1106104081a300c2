"""Columns in, how a table is laid out: which columns are the time, tags, values, qualities.

wide: a column for each tag. long: a row for each value, with the name of its tag. paired: each tag
has a time column of its own. tag files: each file holds one tag, under whose name it goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sensor_ad.errors import DataError
from sensor_ad.exports.columns import Column
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.tally import quoted
from sensor_ad.exports.times import sounds_like_time
from sensor_ad.exports.vocabulary import meaning

_ENDS = r"(?:[ _.-]?(?:name|id|path|key|code))?"
TAG = re.compile(
    rf"_?(?:tag|var|variable|point|sensor|signal|item|node|channel|series|field|pv|messstelle)s?{_ENDS}"
    r"|path|name|tag[ _]?path",
    re.IGNORECASE,
)
VALUE = re.compile(
    r"_?(?:value|val|varvalue|wert|messwert|reading|data[ _]?value|tag[ _]?value|valor|valeur)",
    re.IGNORECASE,
)
QUALITY = re.compile(
    r"(?:opc|data|tag|value)?[ _]?(?:quality|qualit[äa]t|validity|status|statuscode|qual|isgood)"
    r"(?:[ _]?(?:code|detail))?",
    re.IGNORECASE,
)
UNIT = re.compile(r"(?:eng(?:ineering)?[ _]?)?units?|einheit|uom", re.IGNORECASE)
BIAS = re.compile(r"time[ _]?(?:zone)?[ _]?bias", re.IGNORECASE)
MILLISECONDS = re.compile(r"(?:time[ _]?)?(?:milliseconds?|millisec|msec|ms)", re.IGNORECASE)
DATE = re.compile(r".*(?:date|datum|fecha|tag)\b.*", re.IGNORECASE)
FACTORYTALK = ("tagid", "tagname", "timestamp", "datasource", "value", "quality")
"""Columns of an archive of FactoryTalk Historian."""
WINCC = ("varname", "timestring", "varvalue", "validity", "time_ms")
"""Columns of the data logs of Siemens WinCC."""


@dataclass(frozen=True)
class TimeColumns:
    """Where the time of a row stands."""

    stamp: str
    """Column of the time, or of the date when the time of day stands apart."""
    clock: str | None = None
    """Column of the time of day."""
    milliseconds: str | None = None
    """Column of the milliseconds to be added."""
    bias: str | None = None
    """Column of the minutes that local time lies behind UTC."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that tell the time."""
        given = (self.stamp, self.clock, self.milliseconds, self.bias)
        return tuple(name for name in given if name is not None)


@dataclass(frozen=True)
class Pair:
    """A tag with a time column of its own."""

    tag: str
    time: str
    value: str


@dataclass(frozen=True)
class Layout:
    """How a table is laid out."""

    kind: str
    """wide, long, paired or tag files."""
    time: TimeColumns | None
    """None where times come from row numbers, or each tag has its own."""
    tag: str | None = None
    value: str | None = None
    quality: str | None = None
    unit: str | None = None
    codes: str | None = None
    """Whose quality codes they are, where the columns say so."""
    pairs: tuple[Pair, ...] = ()
    silent: tuple[Pair, ...] = ()
    """Pairs without times: nothing was archived, as a cell may say."""
    evidence: str = ""
    """Why it was taken for this."""
    tag_parts: tuple[str, ...] = ()
    """Columns of which a tag's name is made (`series_names.compose_tags`), in place of `tag`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that play a part other than a tag's."""
        parts = (self.tag, self.value, self.quality, self.unit)
        named = tuple(name for name in parts if name is not None)
        return (*(self.time.columns if self.time else ()), *named, *self.tag_parts)


def find_layout(file: str, columns: Mapping[str, Column], settings: ReadSettings) -> Layout:
    """Tell how the columns of a table are to be understood.

    Raises
    ------
    DataError
        There is no time, or several columns may be it, or a column that was named is missing.
    """
    _check_named(file, columns, settings)
    hidden = {*settings.label_columns, *settings.ignore_columns}
    shown = {name: column for name, column in columns.items() if name not in hidden}
    if settings.start is None and settings.layout in (None, "paired"):
        pairs, silent = find_pairs(shown) if settings.time_column is None else ((), ())
        if pairs:
            why = "a time column before each tag's"
            return Layout("paired", None, pairs=pairs, silent=silent, evidence=why)
        if settings.layout == "paired":
            raise DataError(
                f"{file}: data.layout is 'paired', but its columns are not times and values in "
                "turn, expected a time column before each tag's: correct data.layout."
            )
    time = None if settings.start is not None else _time_columns(file, shown, settings)
    rest = {name: c for name, c in shown.items() if time is None or name not in time.columns}
    tag, value = _tag_and_value(rest, settings)
    quality = settings.quality_column or _named_like(rest, QUALITY, {tag, value})
    unit = _named_like(rest, UNIT, {tag, value, quality})
    folded = {name.casefold() for name in columns}
    wincc, factorytalk = {*WINCC} <= folded, {*FACTORYTALK} <= folded
    if settings.layout in (None, "long") and tag is not None and value is not None and time:
        why = "a column of tags beside one of values"
        if wincc or factorytalk:
            why = f"the columns of a {'WinCC data log' if wincc else 'FactoryTalk archive'}"
        codes = "opc da" if factorytalk else "wincc" if wincc else None
        return Layout("long", time, tag, value, quality, unit, codes, evidence=why)
    if settings.layout == "long":
        raise DataError(
            f"{file}: data.layout is 'long', but no column of tags beside one of values was found "
            f"among {', '.join(map(quoted, [*rest][:8]))}: name them by data.tag_column and "
            "data.value_column."
        )
    others = [name for name in rest if name not in (value, quality, unit)]
    if settings.layout == "tag files" or (
        settings.layout is None and value and time and not others
    ):
        if value is None or time is None:
            raise DataError(
                f"{file}: data.layout is 'tag files', but no column of values beside the time was "
                f"found among {', '.join(map(quoted, [*rest][:8]))}: name it by data.value_column."
            )
        return Layout(
            "tag files", time, None, value, quality, unit, evidence="one column of values"
        )
    return Layout("wide", time, evidence="a column for each tag")


def find_pairs(columns: Mapping[str, Column]) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Return the tags of a table in which times and values stand in turn; none if they do not.

    Tags without a single time come apart.
    The name of a time column must be the tag's with a word for time, or nothing but such a word:
    two times at the beginning of a row (begin and end, say) are no pair.
    """
    ordered = sorted(columns.values(), key=lambda column: column.position)
    ordered = [column for column in ordered if column.first_cell or not column.unnamed]
    if len(ordered) < 4 or len(ordered) % 2:
        return (), ()
    pairs: list[Pair] = []
    silent: list[Pair] = []
    for time, value in zip(ordered[::2], ordered[1::2], strict=True):
        empty = _without_times(time)
        some = value.numbers or value.truths or value.texts
        told = empty or (time.times and not value.times and some)
        if not told or not _belongs(time.name, value.name):
            return (), ()
        into = silent if empty else pairs
        into.append(Pair(_tag_of_pair(time.name, value.name), time.name, value.name))
    names = [pair.tag for pair in (*pairs, *silent)]
    if not pairs or len({*names}) < len(names):
        return (), ()
    return tuple(pairs), tuple(silent)


def _without_times(column: Column) -> bool:
    """Say whether a column called a time holds nothing, or nothing but "No events found."."""
    blank = not (column.times or column.clock or column.numbers or column.truths)
    silent = not column.texts or meaning(column.first_cell) is not None
    return blank and silent and sounds_like_time(column.name)


def _belongs(time: str, value: str) -> bool:
    bare = _without_word(time, _TIME_WORD)
    return not bare or bare.casefold() in value.casefold() or time.startswith("col_")


_TIME_WORD = re.compile(
    r"[ _.\-/:(\[]*\b(?:time(?:stamp)?|date(?:time)?|zeit|datum|ts|t)\b[)\]]*(?:\.\d+)?"
    r"|\.\d+$|[ _]\d+$",
    re.IGNORECASE,
)
_VALUE_WORD = re.compile(r"[ _.\-/:(\[]*\b(?:value|val|wert|v|y)\b[)\]]*$", re.IGNORECASE)


def _without_word(name: str, word: re.Pattern[str]) -> str:
    return word.sub("", name.replace("_", " ")).strip(" _.-/:()[]")


def _tag_of_pair(time: str, value: str) -> str:
    """Name the tag of a pair: the value's name, without a word for value."""
    if _without_word(time, _TIME_WORD).casefold() == value.replace("_", " ").strip().casefold():
        return value  # x/y beside x/y time
    return _VALUE_WORD.sub("", value).strip() or _without_word(time, _TIME_WORD) or value


def _check_named(file: str, columns: Mapping[str, Column], settings: ReadSettings) -> None:
    """Refuse names of columns that are not there."""
    times = settings.time_column or ()
    given = {
        "time_column": (times,) if isinstance(times, str) else times,
        "tag_column": (settings.tag_column,) if settings.tag_column else (),
        "value_column": (settings.value_column,) if settings.value_column else (),
        "quality_column": (settings.quality_column,) if settings.quality_column else (),
    }
    for key, names in given.items():
        for name in names:
            if name not in columns:
                near = get_close_matches(name, columns, 1, 0.0) or list(columns)[:1]
                raise DataError(
                    f"{file}: no column {quoted(name)}, which data.{key} names, among "
                    f"{len(columns)} columns; the nearest is {quoted(near[0])}: correct data.{key}."
                )


def _named_like(
    columns: Mapping[str, Column], pattern: re.Pattern[str], taken: set[str | None]
) -> str | None:
    found = [name for name in columns if name not in taken and pattern.fullmatch(name.strip())]
    return found[0] if len(found) == 1 else None


def _tag_and_value(
    columns: Mapping[str, Column], settings: ReadSettings
) -> tuple[str | None, str | None]:
    """Find the column that names tags and the one that holds their values."""
    value = settings.value_column or _named_like(columns, VALUE, {settings.tag_column})
    if settings.tag_column is not None:
        return settings.tag_column, value
    named = [
        column
        for name, column in columns.items()
        if name != value and TAG.fullmatch(name.strip()) and column.texts
    ]
    if len(named) > 1:  # TagId beside TagName, _measurement beside _field
        best = [c for c in named if re.search(r"name|path|field", c.name, re.IGNORECASE)]
        named = best if len(best) == 1 else named
    return (named[0].name if len(named) == 1 else None), value


def _time_columns(file: str, columns: Mapping[str, Column], settings: ReadSettings) -> TimeColumns:
    """Find the column, or the columns, that tell the time."""
    given = settings.time_column
    if isinstance(given, str):
        return _completed(file, columns, given, settings)
    if given:
        clock = given[1] if len(given) > 1 else None
        return TimeColumns(given[0], clock)
    candidates = [c for c in columns.values() if c.times]
    whole = [c for c in candidates if not c.bare_date]
    if len(whole) > 1:
        named = [c for c in whole if sounds_like_time(c.name)]
        whole = named if len(named) == 1 else _one_of_wincc(whole)
    if len(whole) > 1:
        raise DataError(
            f"{file}: {len(whole)} columns hold times "
            f"({', '.join(quoted(column.name) for column in whole)}), expected one: say "
            "which by data.time_column."
        )
    if whole:
        return _completed(file, columns, whole[0].name, settings)
    clocks = [c for c in columns.values() if c.clock and sounds_like_time(c.name)]
    dates = [c for c in candidates if c.bare_date]
    if len(dates) == 1:
        clock = clocks[0].name if len(clocks) == 1 else None
        found = TimeColumns(dates[0].name, clock)
        return _with_parts(columns, found)
    if len(dates) > 1:
        raise DataError(
            f"{file}: {len(dates)} columns hold dates "
            f"({', '.join(quoted(column.name) for column in dates)}), expected one: say "
            "which by data.time_column."
        )
    raise _no_time_column(file, list(columns.values()))


def _one_of_wincc(candidates: list[Column]) -> list[Column]:
    """Of WinCC's two times take the text: it is what people see."""
    names = {c.name.casefold(): c for c in candidates}
    return [names["timestring"]] if {"timestring", "time_ms"} == {*names} else candidates


def _completed(
    file: str, columns: Mapping[str, Column], name: str, settings: ReadSettings
) -> TimeColumns:
    column = columns[name]
    if column.mixed:
        raise DataError(f"{file}: column {quoted(name)}: {column.mixed}.")
    if not column.times and settings.time_format is None:
        found = f"holds {quoted(column.first_cell)}" if column.first_cell else "is empty"
        raise DataError(
            f"{file}: the time column {quoted(name)} {found} in line "
            f"{column.first_line or 2}, expected times such as 2026-01-31 23:59:00: export "
            "the times like that, or name another column."
        )
    return _with_parts(columns, TimeColumns(name))


def _with_parts(columns: Mapping[str, Column], time: TimeColumns) -> TimeColumns:
    """Add the columns of milliseconds and of the bias from UTC, where there are such."""
    rest = {
        name: c
        for name, c in columns.items()
        if name not in time.columns and c.numbers and name.casefold() not in WINCC
    }
    milliseconds = _named_like(rest, MILLISECONDS, set())
    bias = _named_like(rest, BIAS, set())
    return TimeColumns(time.stamp, time.clock, milliseconds, bias)


def _no_time_column(file: str, columns: Sequence[Column]) -> DataError:
    for column in columns:
        if column.mixed:
            return DataError(f"{file}: column {quoted(column.name)}: {column.mixed}.")
    for column in columns:
        if sounds_like_time(column.name) and column.texts:
            return DataError(
                f"{file}: column {quoted(column.name)} sounds like the time, but holds "
                f"{quoted(column.first_cell)} in line {column.first_line}, expected times "
                "such as 2026-01-31 23:59:00: export the times like that."
            )
    names = ", ".join(quoted(column.name) for column in columns[:5])
    more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
    return DataError(
        f"{file}: no time column among {names}{more}, expected one with times such as "
        "2026-01-31 23:59:00: export it too, or give data.start and data.period_s."
    )
