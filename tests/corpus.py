"""Small files as plants export them, each with its whole outcome: kept, refused or asked about.

The files of a case are written by a script and hold nothing of any vendor. What is expected of
them was written down by hand from the layout tables and the list of 72 bad inputs, never taken
from what the program gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Content = str | bytes | Callable[[Path], None]
"""A text (written as UTF-8), the bytes, or what makes the file, folder or device."""
Row = tuple[Any, ...]
"""UTC time `yyyy-mm-dd hh:mm:ss`, then a value of each tag; None: there is none."""

START = datetime(2025, 3, 5, 6, 0)
ZONE = "times carry no zone: read as UTC; set data.timezone if that is wrong"
SHARED = (
    "the tags share their times: each time is a row, and a tag without a value there has no data"
)
VALUES = ((20.5, 1.25), (21.0, 1.5), (21.5, 1.75), (22.25, 2.0), (23.0, 2.25), (23.5, -2.5))
TAGS = ("TI101.PV", "PI102.PV")


@dataclass(frozen=True)
class Plain:
    """How a second, simple reader of texts gets at the same values."""

    separator: str = ","
    encoding: str = "utf-8"
    skip: int = 0
    """Lines above the names."""
    decimal: str = "."
    thousands: str = ""
    tag: str | None = None
    """Column that names the tag of a row."""
    value: str | None = None


@dataclass(frozen=True)
class Kept:
    """Files that are read, with or without repairs."""

    rows: Sequence[Row]
    """All of them, in the order of their times."""
    tags: tuple[str, ...] = TAGS
    notes: tuple[str, ...] = (ZONE,)
    """All notes of the account, in its order."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows."""
    sorted: int = 0
    kept: int | None = None
    """Rows of the files that count; None: as many as `rows`."""
    quality: Mapping[str, str] = field(default_factory=dict)
    """Tag -> a letter for each row: good, uncertain, substituted, bad, no data."""
    units: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    plain: Plain | None = Plain()
    """For the second reader; None where a file has no plain table."""


@dataclass(frozen=True)
class Refused:
    """Files that are not read, whatever is said."""

    message: str


@dataclass(frozen=True)
class Asked:
    """Files that are read as soon as somebody says how."""

    message: str
    settings: Mapping[str, Any]
    then: Kept


@dataclass(frozen=True)
class Case:
    """Some files that are one export, and what becomes of them."""

    name: str
    """`L4 ...` of a layout, `47 ...` of a bad input."""
    files: Mapping[str, Content]
    outcome: Kept | Refused | Asked
    settings: Mapping[str, Any] = field(default_factory=dict)
    big: bool = False
    """Whether reading it in tiny blocks would take minutes."""
    folder: bool = False
    """Whether the folder of the files is given."""


def one(name: str, content: Content, outcome: Kept | Refused | Asked, **more: Any) -> Case:
    """Make a case of one file, plant.csv."""
    return Case(name, {"plant.csv": content}, outcome, **more)


def at(k: float, step_s: float = 60) -> str:
    """Return the time of row `k`, to the millisecond where it has some."""
    time = START + timedelta(seconds=k * step_s)
    text = time.strftime("%Y-%m-%d %H:%M:%S")
    return text + (f".{time.microsecond // 1000:03d}" if time.microsecond else "")


def table(values: Sequence[Sequence[Any]] = VALUES) -> list[Row]:
    """Return rows a minute apart."""
    return [(at(k), *row) for k, row in enumerate(values)]


def wide(
    rows: Sequence[Row] = (),
    names: Sequence[str] = ("Time", *TAGS),
    separator: str = ",",
    decimal: str = ".",
    shape: str = "%Y-%m-%d %H:%M:%S",
) -> str:
    """Write a wide table; its times in a shape of `strftime`."""
    lines = [separator.join(names)]
    for time, *values in rows or table():
        stamp = datetime.fromisoformat(time).strftime(shape)
        cells = ["" if v is None else str(v) for v in values]
        lines.append(separator.join([stamp, *(c.replace(".", decimal) for c in cells)]))
    return "\n".join(lines) + "\n"


def write(case: Case, folder: Path) -> list[Path]:
    """Write the files of a case; returns the paths to be read."""
    paths = []
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        paths.append(path)
    return [folder] if case.folder else paths


def cases() -> list[Case]:
    """Return all cases."""
    import corpus_bytes
    import corpus_layouts
    import corpus_tables
    import corpus_times
    import corpus_values

    groups = (corpus_layouts, corpus_bytes, corpus_tables, corpus_times, corpus_values)
    return [case for group in groups for case in group.CASES]
