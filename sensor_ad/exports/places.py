"""Paths in, the files of an export out, each with what its folders or a table's log say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sensor_ad.exports.columnar import PlainColumn
from sensor_ad.exports.delta import delta_columns, delta_table
from sensor_ad.exports.files import SUFFIXES, find_files
from sensor_ad.exports.partitions import Partition, partitioned_files
from sensor_ad.exports.tally import Tally

LOG = "_delta_log"


@dataclass(frozen=True)
class Place:
    """One file of an export."""

    path: Path
    partition: Partition = field(default_factory=dict)
    """Column -> value that all its rows have, from the names of its folders."""
    plain: Mapping[str, PlainColumn] | None = None
    """Columns as a Delta table's log names them; None: as the file does."""


def find_places(paths: Sequence[Path], tally: Tally) -> list[Place]:
    """Return the files behind paths and folders, a folder's in the order of their names.

    A folder with a log is a Delta table: only the files of its newest version are read. A folder
    that holds folders only is looked through; names such as ``tag=FT101`` become columns.

    Raises
    ------
    DataError
        A path does not exist, or a folder holds no export.
    """
    places: list[Place] = []
    for path in paths:
        if path.is_dir() and (path / LOG).is_dir():
            table = delta_table(path)
            columns = delta_columns(table, tally)
            places += [Place(file, partition, columns) for file, partition in table.files]
        elif path.is_dir() and _only_folders(path):
            found = partitioned_files(path, tally, (*SUFFIXES, ".parq", ".pq"))
            places += [Place(file, partition) for file, partition in found]
        else:
            places += [Place(file) for file in find_files([path], tally)]
    return places or [Place(file) for file in find_files([], tally)]


def _only_folders(folder: Path) -> bool:
    """Say whether exports can only be in folders within."""
    shown = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "_"))]
    own = any(entry.is_file() and entry.name.lower().endswith(SUFFIXES) for entry in shown)
    return not own and any(entry.is_dir() for entry in shown)
