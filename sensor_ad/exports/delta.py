"""A Delta table's folder in, the data files of its newest version out: only through its log.

Files of earlier versions stay on disk after they were removed from the table, so that the folder
must never be read as it lies there. What is replayed here is the part that plain reading needs of
the Delta transaction log protocol, https://github.com/delta-io/delta/blob/master/PROTOCOL.md;
headings of that document stand in quotes below. A table that needs more is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.columnar import NUMBER, PlainColumn, kind_of
from sensor_ad.exports.columns import NoRowsError
from sensor_ad.exports.delta_log import READ_FEATURES, Action, unsupported, versions
from sensor_ad.exports.partitions import MOST_FILES, Partition, Value
from sensor_ad.exports.tally import Tally, quoted

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_WHOLE = ("byte", "short", "integer", "long")
_FRACTIONAL = ("float", "double", "decimal")

_PLAIN_TYPES = {
    **dict.fromkeys(_WHOLE, pa.int64()),
    **dict.fromkeys(_FRACTIONAL, pa.float64()),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("ms"),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
"""Type of the log -> Arrow type in which it comes ("Primitive Types")."""


@dataclass(frozen=True)
class DeltaTable:
    """The newest version of a Delta table."""

    version: int
    columns: dict[str, str]
    """Column -> type as the log names it (double, timestamp, string); 'nested' for any other."""
    partition_columns: tuple[str, ...]
    """Columns whose values stand in the log and not in the files."""
    files: list[tuple[Path, Partition]]
    """Data files with the values of the partition columns, in the order of their paths."""


def delta_files(folder: Path) -> list[tuple[Path, Partition]]:
    """Return the data files of a Delta table's newest version, with their partition values.

    Raises
    ------
    DataError
        As `delta_table`.
    """
    return delta_table(folder).files


def delta_columns(table: DeltaTable, tally: Tally | None = None) -> dict[str, PlainColumn]:
    """Return the columns of a table that can be read, for `plain_batches` of each of its files.

    Types are the log's and not the files': Spark writes timestamps as INT96, which in a Parquet
    file has no zone, and they are UTC. A column that cannot be read is noted.
    """
    columns = {}
    for name, kind in table.columns.items():
        of_arrow = pa.float64() if kind.startswith("decimal") else _PLAIN_TYPES.get(kind)
        if of_arrow is not None:
            columns[name] = PlainColumn(name, kind_of(of_arrow) or NUMBER, of_arrow)
        elif tally is not None:
            tally.note(
                f"column {quoted(name)} is of type {kind}, no number, text or time: left out"
            )
    return columns


def delta_table(folder: Path) -> DeltaTable:
    """Replay a Delta table's log.

    Raises
    ------
    DataError
        When the log is damaged or has gaps, the table needs a feature that is not read, or a
        listed file is missing, changed, or outside of the folder.
    """
    state = _State(folder.name)
    version = -1
    for version, actions in versions(folder):
        state.apply(version, actions)
    state.check_protocol()
    columns, partition_columns = state.schema()
    files = _data_files(folder, state, columns, partition_columns)
    if not files:
        raise NoRowsError(
            f"{folder.name}: version {version} of this Delta table holds no files, expected a "
            "table with rows: export a stretch of time that has data."
        )
    return DeltaTable(version, columns, partition_columns, files)


class _State:
    """What the actions so far come to ("Action Reconciliation")."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.protocol: Action | None = None
        self.metadata: Action | None = None
        self.adds: dict[tuple[str, str | None], Action] = {}
        """(path as logged, id of its deletion vector) -> the newest add."""

    def apply(self, version: int, actions: list[Action]) -> None:
        """Apply the actions of one version, whose order says nothing."""
        added, removed = set(), set()
        for action in actions:
            if action.get("protocol") is not None:
                self.protocol = action["protocol"]
            if action.get("metaData") is not None:
                self.metadata = action["metaData"]
            if action.get("checkpointMetadata") or action.get("sidecar"):
                raise unsupported(self.name, "the feature 'v2Checkpoint'")
            if action.get("remove") is not None:
                removed.add(_key(self.name, version, action["remove"]))
        for key in removed:
            self.adds.pop(key, None)
        for action in actions:
            if action.get("add") is None:
                continue
            key = _key(self.name, version, action["add"])
            if key in removed or key in added:
                also = "adds and removes" if key in removed else "adds twice"
                raise _bad_log(self.name, version, f"{also} the file {quoted(key[0])}")
            added.add(key)
            self.adds[key] = action["add"]
            if len(self.adds) > MOST_FILES:
                raise DataError(
                    f"{self.name}: a Delta table of more than {MOST_FILES} files, expected at "
                    "most as many: merge its files (OPTIMIZE), or export a part of it."
                )

    def check_protocol(self) -> None:
        """Refuse a table that asks more of its readers ("Requirements for Readers")."""
        if self.protocol is None or self.metadata is None:
            lack = "protocol" if self.protocol is None else "metaData"
            raise DataError(
                f"{self.name}: the Delta log has no {lack} action, expected a whole log: copy the "
                "table again with its folder _delta_log."
            )
        version = self.protocol.get("minReaderVersion")
        features = _names(self.name, self.protocol, "readerFeatures")
        settings = _pairs(self.name, self.metadata, "configuration")
        mapping = settings.get("delta.columnMapping.mode", "none")
        lacking = sorted(set(features) - READ_FEATURES)
        if version == 2 or mapping != "none":
            lacking = sorted({*lacking, "columnMapping"})
        if lacking:
            named = ", ".join(map(repr, lacking))
            raise unsupported(self.name, f"the feature{'s' * (len(lacking) > 1)} {named}")
        if version not in (0, 1, 3):
            raise unsupported(self.name, f"reader version {version}")
        provider = _pairs(self.name, self.metadata, "format").get("provider", "parquet")
        if provider != "parquet":
            raise unsupported(self.name, f"data files as {quoted(str(provider))}")
        if any(vector is not None for _, vector in self.adds):
            raise unsupported(self.name, "the feature 'deletionVectors'")

    def schema(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return the columns with their types, and which of them are partition columns."""
        metadata = self.metadata or {}
        try:
            fields = json.loads(metadata["schemaString"])["fields"]
            columns = {
                str(field["name"]): field["type"] if isinstance(field["type"], str) else "nested"
                for field in fields
            }
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                f"{self.name}: the Delta log's schema cannot be read, expected the JSON of a "
                "struct: copy the table again."
            ) from None
        return columns, tuple(_names(self.name, metadata, "partitionColumns"))


def _key(name: str, version: int, action: Action) -> tuple[str, str | None]:
    """Return what identifies a logical file ("Add File and Remove File")."""
    path, vector = action.get("path"), action.get("deletionVector")
    if not isinstance(path, str) or not path:
        raise _bad_log(name, version, "has a file without a path")
    if vector is None:
        return path, None
    if not isinstance(vector, dict):
        raise _bad_field(name, "deletionVector", vector, "its fields")
    offset = vector.get("offset")
    unique = f"{vector.get('storageType')}{vector.get('pathOrInlineDv')}"
    return path, unique if offset is None else f"{unique}@{offset}"


def _data_files(
    folder: Path, state: _State, columns: Mapping[str, str], keys: tuple[str, ...]
) -> list[tuple[Path, Partition]]:
    """Return the files of a state, in the order of their paths."""
    seen: dict[Path, str] = {}
    files: list[tuple[Path, Partition]] = []
    for (logged, _), add in state.adds.items():
        path = _inside(folder, logged)
        if path in seen:
            raise DataError(
                f"{folder.name}: the Delta log lists one file as {quoted(seen[path])} and "
                f"{quoted(logged)}, expected each file once: export the table as Parquet."
            )
        seen[path] = logged
        _check_on_disk(folder, path, logged, add.get("size"))
        texts = _pairs(folder.name, add, "partitionValues")
        absent = [key for key in keys if key not in texts or key not in columns]
        if absent:
            raise DataError(
                f"{folder.name}: the Delta log gives the file {quoted(logged)} no value of the "
                f"partition column {quoted(absent[0])}, expected one for each of them: copy the "
                "table again."
            )
        values = {key: _value(folder, key, columns[key], texts[key]) for key in keys}
        files.append((path, values))
    return sorted(files, key=lambda pair: pair[0].parts)


def _inside(folder: Path, logged: str) -> Path:
    """Return where a logged path leads, which must be inside of the table's folder."""
    text = unquote(logged[len("file:") :] if logged.startswith("file:/") else logged)
    text = f"/{text.lstrip('/')}" if text.startswith("//") else text  # file:///… has three
    root = folder.resolve()
    if not (_SCHEME.match(text) or "\\" in text or "\0" in text or ".." in text.split("/")):
        try:
            path = (root / text).resolve()
        except (OSError, RuntimeError):  # a loop of links
            path = root
        if path != root and path.is_relative_to(root):
            return path
    raise DataError(
        f"{folder.name}: the Delta log lists the file {quoted(logged)}, which is outside of the "
        "table's folder, expected files within: copy the table with all its files (a shallow "
        "clone lists those of another table)."
    )


def _check_on_disk(folder: Path, path: Path, logged: str, size: object) -> None:
    if not path.is_file():
        raise DataError(
            f"{folder.name}: the Delta log lists the file {quoted(logged)}, which is not there, "
            "expected all files of the newest version: copy the table again."
        )
    there = path.stat().st_size
    if isinstance(size, int) and size != there:
        raise DataError(
            f"{folder.name}: the file {quoted(logged)} has {there} bytes, expected {size} as the "
            "Delta log says: copy the table again."
        )


def _value(folder: Path, key: str, kind: str, text: str | None) -> Value:
    """Read a partition value ("Partition Value Serialization"); times and dates stay texts."""
    if text is None or text == "":
        return None
    try:
        if kind in _WHOLE:
            return int(text)
        if kind.startswith(_FRACTIONAL):
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise DataError(
            f"{folder.name}: the Delta log gives the partition column {quoted(key)} the value "
            f"{quoted(text)}, expected one of type {kind}: copy the table again."
        ) from None
    return text


def _pairs(name: str, fields: Action, field: str) -> dict[str, Any]:
    """Return a map of texts; one from Parquet comes as a list of pairs."""
    given = fields.get(field) or {}
    pairs = list(given.items()) if isinstance(given, dict) else given
    try:
        return {key: None if value is None else _text(value) for key, value in pairs}
    except (TypeError, ValueError):
        raise _bad_field(name, field, given, "a map of texts") from None


def _text(value: object) -> str:
    """Return a value of a map; the options of a format are a map themselves."""
    if not isinstance(value, str | dict | list):
        raise TypeError
    return str(value)


def _names(name: str, fields: Action, field: str) -> list[str]:
    given = fields.get(field) or []
    if not (isinstance(given, list) and all(isinstance(item, str) for item in given)):
        raise _bad_field(name, field, given, "a list of names")
    return given


def _bad_field(name: str, field: str, found: object, expected: str) -> DataError:
    return DataError(
        f"{name}: the Delta log's {field} is {quoted(str(found))}, expected {expected}: copy the "
        "table again."
    )


def _bad_log(name: str, version: int, found: str) -> DataError:
    return DataError(
        f"{name}: version {version} of the Delta log {found}, expected a valid log: copy the table "
        "again."
    )
