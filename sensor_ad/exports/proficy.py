"""A CSV file of GE's Proficy Historian in, its sections of data and units of tags out.

`[Tags]` and `[Data]` stand alone in their lines, a header follows, `*` begins a comment. Messages
and alarms are no values and are passed over. Source: GE Vernova, Historian, "CSV File Format".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.columns import NAMED, Column, NoRowsError
from sensor_ad.exports.header import Header
from sensor_ad.exports.layouts import Layout, TimeColumns
from sensor_ad.exports.probe import Probe, split_line
from sensor_ad.exports.sectioned import Constant, Lines, Section, check_count, scan
from sensor_ad.exports.settings import SEPARATORS, ReadSettings
from sensor_ad.exports.sniff import Dialect, describe_all, find_signs
from sensor_ad.exports.tables import Table
from sensor_ad.exports.tally import Tally, quoted

WHAT = "sections of GE Historian"
SECTIONS = ("tags", "data", "messages", "alarms")
COMMENT = ord("*")
SAMPLE_ROWS = 200
"""First rows of a section that show its decimal sign and how it writes times."""
LOOKED_AT = 200
"""Sections whose first rows are looked at; what follows is taken for like them, or refused."""
MOST_TAGS = 100_000
"""Tags whose units are remembered."""
BIAS = "timezonebias"

_MARKER = re.compile(rb"\[\s*([\w ]+?)\s*\][,;\t| ]*")


def find(
    path: Path, encoding: str, probe: Probe, settings: ReadSettings, tally: Tally
) -> list[Section] | None:
    """Return the sections of data of a file of GE Historian, None when it is none."""
    texts = [text.strip().encode() for _, text in probe]
    first = next((text for text in texts if not text.startswith(b"*")), b"")
    names = [match[1].decode().lower() for match in map(_MARKER.fullmatch, texts) if match]
    if not _MARKER.fullmatch(first) or not {*names} & {*SECTIONS}:
        return None
    said = settings.encoding is not None
    file = _File(Table(path, path.stat().st_size, Dialect(encoding, ",", ".", (), 0, 0), {}, said))
    for lines in scan(path, encoding, said):
        file.look(lines)
    return file.finish(settings, tally)


@dataclass
class _Open:
    """A section while it is read."""

    name: str
    marker_line: int
    header: tuple[int, str] | None = None
    rows: int = 0
    last_line: int = 0
    sample: list[tuple[int, str]] = field(default_factory=list)
    """Its first rows, with the numbers of their lines."""


class _File:
    """Finds the sections of one file, block by block."""

    def __init__(self, table: Table):
        self.table, self.name = table, table.path.name
        self.open: list[_Open] = []

    def look(self, lines: Lines) -> None:
        """Look at the next block."""
        marked = [
            (int(k), match[1].decode().lower())
            for k in np.flatnonzero(lines.firsts == ord("["))
            if (match := _MARKER.fullmatch(lines.text.data[lines.starts[k] : lines.ends[k]]))
        ]
        edges = [k for k, _ in marked] + [len(lines.starts)]
        if self.open:
            self._go_on(lines, 0, edges[0])
        for (k, name), end in zip(marked, edges[1:], strict=True):
            if name not in SECTIONS:
                raise DataError(
                    f"{self.name}, line {lines.number(k)}: section {quoted(f'[{name}]')}, expected "
                    "[Tags], [Data], [Messages] or [Alarms]: export tags and data only."
                )
            self.open.append(_Open(name, lines.number(k)))
            check_count(self.name, len(self.open))
            self._go_on(lines, k + 1, end)

    def _go_on(self, lines: Lines, begin: int, end: int) -> None:
        """Take some lines of the section that is open."""
        section = self.open[-1]
        if section.name in ("messages", "alarms") or begin == end:
            return
        firsts = lines.firsts[begin:end]
        places = np.flatnonzero((firsts != ord("\n")) & (firsts != COMMENT)) + begin
        if section.header is None and len(places):
            section.header = lines.number(int(places[0])), lines.read(int(places[0]))
            places = places[1:]
        section.rows += len(places)
        if len(places):
            section.last_line = lines.number(int(places[-1]))
        most = MOST_TAGS if section.name == "tags" else SAMPLE_ROWS
        wanted = most - len(section.sample)
        section.sample += [(lines.number(int(k)), lines.read(int(k))) for k in places[:wanted]]

    def finish(self, settings: ReadSettings, tally: Tally) -> list[Section]:
        """Return the sections of data that hold rows."""
        others = sorted({s.name for s in self.open if s.name in ("messages", "alarms")})
        if others:
            shown = " and ".join(f"[{name.capitalize()}]" for name in others)
            tally.note(f"{self.name}: {shown} passed over: no values of tags")
        data = [section for section in self.open if section.name == "data"]
        if not data:
            raise NoRowsError(
                f"{self.name}: no section [Data] (only "
                f"{', '.join(f'[{s.name.capitalize()}]' for s in self.open)}), expected one with "
                "values: export the data too."
            )
        full = [section for section in data if section.rows]
        if not full:
            raise NoRowsError(
                f"{self.name}, line {data[0].marker_line}: section [Data] without rows, expected "
                "a header and rows: export a stretch of time that has data."
            )
        if len(full) < len(data):
            tally.note(f"{self.name}: [Data] without rows passed over")
        units, descriptions = self._tags()
        known: dict[str, Section] = {}
        sections: list[Section] = []
        for section in full:
            line, header = section.header or (0, "")
            if header not in known or len(sections) < LOOKED_AT:
                known[header] = self._section(section, settings)
            like = known[header]
            dialect = replace(like.table.dialect, header_line=line, skip_lines=line)
            sections.append(
                replace(
                    like,
                    table=replace(like.table, dialect=dialect),
                    first_line=line + 1,
                    last_line=section.last_line,
                    units=units,
                    descriptions=descriptions,
                )
            )
        return sections

    def _section(self, section: _Open, settings: ReadSettings) -> Section:
        line, text = section.header or (0, "")
        where = f"{self.name}, line {line}"
        separator = max(SEPARATORS, key=text.count)
        names = [name or f"{NAMED}{k + 1}" for k, name in enumerate(split_line(text, separator))]
        folded = {name.casefold(): name for name in names}
        missing = [need for need in ("Tagname", "TimeStamp", "Value") if need.lower() not in folded]
        if missing or len(folded) < len(names):
            what = f"no {' and '.join(missing)}" if missing else "a column twice"
            raise DataError(
                f"{where}: {what} in the header {quoted(text)} of [Data], expected Tagname, "
                "TimeStamp and Value: export them too."
            )
        rows = [(number, split_line(row, separator)) for number, row in section.sample]
        unnamed = frozenset(k for k, name in enumerate(split_line(text, separator)) if not name)
        spare = unnamed == {len(names) - 1} and not any(
            row[-1] for _, row in rows if len(row) == len(names)
        )
        header = Header(tuple(names), unnamed, line, {}, {}, spare, rows)
        encoding = self.table.dialect.encoding
        dialect = Dialect(encoding, separator, ".", header.names, line, line, spare=spare)
        signs = find_signs(self.table.path, header, dialect, settings)
        dialect = replace(dialect, decimal=signs.decimal, thousands=signs.thousands)
        columns: dict[str, Column] = {c.name: c for c in describe_all(header, signs)}
        quality = folded.get("dataquality", folded.get("quality"))
        bias = folded.get(BIAS)
        return Section(
            what=WHAT,
            table=replace(
                self.table, dialect=dialect, columns=columns, headers=(text.encode(),)
            ),
            first_line=line + 1,
            last_line=section.last_line,
            layout=Layout(
                "long",
                TimeColumns(folded["timestamp"]),
                folded["tagname"],
                folded["value"],
                quality,
                evidence=WHAT,
            ),
            marks=b"*",
            constants={} if bias is None or bias in settings.ignore_columns else {bias: _no_bias()},
        )  # fmt: skip

    def _tags(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return units and descriptions of the tags, as all sections of tags give them."""
        units: dict[str, str] = {}
        descriptions: dict[str, str] = {}
        for section in self.open:
            if section.name != "tags" or section.header is None:
                continue
            text = section.header[1]
            separator = max(SEPARATORS, key=text.count)
            names = [name.casefold() for name in split_line(text, separator)]
            for _, line in section.sample:
                row = dict(zip(names, split_line(line, separator), strict=False))
                tag = row.get("tagname", "")
                for key, into in (("engineeringunits", units), ("description", descriptions)):
                    if tag and row.get(key):
                        into[tag] = row[key]
        return units, descriptions


def _no_bias() -> Constant:
    """Return what a column TimeZoneBias must hold: its sign is documented nowhere."""
    return Constant(
        ("", "0"),
        "0, for a bias may be added to local time to give UTC, or taken from it",
        'export times in UTC, or say data.ignore_columns = ["TimeZoneBias"] and the zone by '
        "data.timezone",
    )
