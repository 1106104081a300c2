"""A folder of partitioned files in, the files in a stable order with the values of their keys out.

Folders named `key=value`, as Hive, Spark, Athena and pandas write them, say what all rows below
them have in common (https://arrow.apache.org/docs/python/dataset.html, "hive" partitioning).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from sensor_ad.errors import DataError
from sensor_ad.exports.files import TEMPORARY
from sensor_ad.exports.tally import Tally, quoted

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
MOST_FILES = 100_000
"""Files of one export; a day per file and tag gives 73,000 for 200 tags in a year."""
MOST_ENTRIES = 1_000_000
"""Names looked at in all folders together, so that a wrong folder (a whole disk) ends soon."""
DEEPEST = 10
"""Folders within folders; tag, year, month, day and hour are five."""
NULL_NAME = "__HIVE_DEFAULT_PARTITION__"
"""What stands for a missing value in a folder's name."""

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
"""A number that is written again as it stands: 007 is a name, not 7."""
_FLOAT = re.compile(r"-?(0|[1-9]\d*)\.\d+", re.ASCII)

Value = str | int | float | bool | None
"""Value of a partition key; None: the rows have none."""
Partition = dict[str, Value]
"""Key -> value, the same for all rows of a file."""


def partitioned_files(
    folder: Path, tally: Tally | None = None, suffixes: Sequence[str] = PARQUET_SUFFIXES
) -> list[tuple[Path, Partition]]:
    """Find the files of a folder and its folders, with what their folders' names say.

    Files come in the order of their paths, part by part. Names that begin with `.` or `_`
    (`_SUCCESS`, `_metadata`), temporary files and other kinds are skipped. A key is a number when
    all its values are, else text.

    Parameters
    ----------
    folder
        The top folder; `key=value` in its own name says nothing.
    tally
        Takes a note of what was skipped.
    suffixes
        Endings of the names of files that are wanted, in lower case.

    Raises
    ------
    DataError
        When there is no file, a Delta table, too much of it, or files with different keys.
    """
    found: list[tuple[Path, dict[str, str | None]]] = []
    skipped: list[str] = []
    for path, wanted in _walk(folder, tuple(suffixes)):
        if not wanted:
            skipped.append("/".join(path.relative_to(folder).parts))
            continue
        if len(found) == MOST_FILES:
            raise DataError(
                f"{folder.name}: more than {MOST_FILES} files, expected at most as many: name a "
                "folder further down, or merge the files."
            )
        found.append((path, _keys(folder, path)))
    if not found:
        raise DataError(
            f"{folder.name}: no export in this folder or those within ({len(skipped)} other "
            f"files), expected {', '.join('*' + suffix for suffix in suffixes)}: name the folder "
            "that holds them."
        )
    if skipped and tally is not None:
        more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        tally.note(
            f"folder {folder.name}: {len(skipped)} file{'s' * (len(skipped) > 1)} skipped (hidden, "
            f"temporary, linked or of another kind): {', '.join(map(quoted, skipped[:5]))}{more}"
        )
    found.sort(key=lambda pair: pair[0].relative_to(folder).parts)
    _check_same_keys(folder, found)
    return [
        (path, partition)
        for (path, _), partition in zip(found, _typed([keys for _, keys in found]), strict=True)
    ]


def _walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, bool]]:
    """Yield the files below a folder, each with whether it is wanted."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        here, depth = waiting.pop()
        if depth > DEEPEST:
            raise DataError(
                f"{folder.name}: folders lie more than {DEEPEST} deep ({quoted(here.name)}), "
                "expected key=value folders or plain ones: name a folder further down."
            )
        for entry in _entries(here):
            seen += 1
            if seen > MOST_ENTRIES:
                raise DataError(
                    f"{folder.name}: more than {MOST_ENTRIES} names in this folder and those "
                    "within, expected an export: name a folder further down."
                )
            path, name = Path(entry.path), entry.name.lower()
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and name == "_delta_log":
                raise DataError(
                    f"{here.name}: a Delta table, whose files are not all valid, expected plain "
                    "files: name the table's own folder, so that it is read through its log."
                )
            hidden = name.startswith((".", "~")) or (name.startswith("_") and "=" not in name)
            if is_folder and not hidden:
                waiting.append((path, depth + 1))
            elif not is_folder:
                plain = not hidden and name.endswith(suffixes) and not name.endswith(TEMPORARY)
                yield path, plain and not path.is_dir()  # a link to a folder is not followed


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as fault:
        raise DataError(
            f"{folder.name}: cannot be listed ({fault.strerror}), expected a readable folder: "
            "check the path and its permissions."
        ) from None


def _keys(folder: Path, path: Path) -> dict[str, str | None]:
    """Return what the folders between `folder` and a file say."""
    keys: dict[str, str | None] = {}
    for part in path.relative_to(folder).parts[:-1]:
        key, sign, value = part.partition("=")
        if not sign:
            continue
        key = unquote(key)
        if key in keys or not key:
            found = "a key without a name" if not key else f"the key {quoted(key)} twice"
            raise DataError(
                f"{'/'.join(path.relative_to(folder).parts)}: {found}, expected key=value folders "
                "with each key once: rename the folder."
            )
        keys[key] = None if value in (NULL_NAME, "") else unquote(value)
    return keys


def _check_same_keys(folder: Path, found: Sequence[tuple[Path, Mapping[str, object]]]) -> None:
    """Refuse a folder in which some files have other keys than the rest."""
    first, expected = found[0]
    for path, keys in found[1:]:
        if set(keys) != set(expected):
            raise DataError(
                f"{'/'.join(path.relative_to(folder).parts)}: its folders give {_listed(keys)}, "
                f"but those of {'/'.join(first.relative_to(folder).parts)} give "
                f"{_listed(expected)}; expected the same keys for all files: read these folders "
                "apart."
            )


def _listed(keys: Mapping[str, object]) -> str:
    return f"the keys {', '.join(map(quoted, keys))}" if keys else "no keys"


def _typed(found: Sequence[Mapping[str, str | None]]) -> list[Partition]:
    """Make numbers of the keys whose values are numbers in all files."""
    kinds: dict[str, type] = {}
    for key in found[0]:
        texts = [keys[key] or "" for keys in found if keys[key] is not None]
        if all(map(_INTEGER.fullmatch, texts)):
            kinds[key] = int
        elif all(_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) for text in texts):
            kinds[key] = float
        else:
            kinds[key] = str
    return [
        {key: None if text is None else kinds[key](text) for key, text in keys.items()}
        for keys in found
    ]
