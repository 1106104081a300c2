"""Files of single values, or in any order, in; one canonical file out, found again by content.

What was imported once is recognised by the SHA-256 of its files and by the settings it was read
with. A file's hash is kept under its size and time of change, so that it is not made twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sensor_ad.durable import write_json
from sensor_ad.exports.canonical import (
    CanonicalWriter,
    account_of,
    account_table,
    canonical_facts,
    read_canonical,
)
from sensor_ad.exports.profile import profile_of_table
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.hashing import sha256_of
from sensor_ad.records import Readings, RowAccount

VERSION = 1
"""Of the way in which exports are read: another one makes imports anew."""
NOT_IN_KEY = ("block_bytes", "lookback_rows")
"""Settings that never change what comes out."""


class Imports:
    """Canonical files below a folder.

    Parameters
    ----------
    folder
        ``workspace/<asset>/imports``; None: a temporary one, which goes with this object.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.lasting = folder is not None
        """Whether what is imported stays for the next command."""
        self._folder = folder

    @property
    def folder(self) -> Path:
        """The folder; a temporary one is made when it is first asked for."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="sensor-ad-"))
            weakref.finalize(self, shutil.rmtree, self._folder, True)
        return self._folder

    def path(self, files: Sequence[Path], settings: ReadSettings) -> Path:
        """Return where the import of these files, so read, lies or is to lie."""
        said = {
            one.name: getattr(settings, one.name)
            for one in fields(settings)
            if one.name not in NOT_IN_KEY
        }
        key = {"version": VERSION, "files": sorted(self._hashes(files)), "settings": said}
        text = json.dumps(key, sort_keys=True, default=_plain)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.parquet"

    def _hashes(self, files: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of each file, with its name where that names a tag."""
        index_file = self.folder / "index.json"
        index = _read_index(index_file)
        found = []
        changed = False
        for path in files:
            state = path.stat()
            known = index.get(str(path.resolve()))
            if known is None or known[:2] != [state.st_size, state.st_mtime_ns]:
                known = [state.st_size, state.st_mtime_ns, sha256_of(path)]
                index[str(path.resolve())] = known
                changed = True
            found.append(f"{path.stem}:{known[2]}")
        if changed and self.lasting:
            write_json(index_file, index)
        return found


class ImportedExport:
    """An export that was imported, read from its canonical file."""

    def __init__(self, path: Path, files: Sequence[Path], imports: Imports) -> None:
        facts = canonical_facts(path)
        self.tags: tuple[str, ...] = tuple(facts["tags"])
        """In the order of the alphabet."""
        self.profile: dict[str, object] = {**facts["profile"], "import": path.name}
        self._states = {tag: tuple(states) for tag, states in facts["states"].items()}
        self._units: dict[str, str] = facts["units"]
        self.found = profile_of_table(facts["found"])
        """How the files are written."""
        self.total_bytes = path.stat().st_size
        self.files: tuple[Path, ...] = tuple(files)
        self._path, self._account = path, account_of(facts["account"])
        self._imports = imports  # keeps a temporary folder alive

    def chunks(self, progress: Callable[[int], None] | None = None) -> Iterator[Readings]:
        """Yield the readings, sorted by time, one row for each time."""
        for readings, told in read_canonical(self._path, self.tags):
            yield readings
            if progress is not None:
                progress(told)

    def account(self) -> RowAccount:
        """Return where the rows of the files went."""
        return self._account

    @property
    def states(self) -> Mapping[str, tuple[str, ...]]:
        """Digital tag -> its states in the order of their numbers."""
        return self._states

    @property
    def units(self) -> Mapping[str, str]:
        """Tag -> unit, where the files give one."""
        return self._units

    @property
    def path(self) -> Path:
        """The canonical file."""
        return self._path


def write_import(
    path: Path,
    readings: Iterator[Readings],
    tags: Sequence[str],
    account: Callable[[], RowAccount],
    about: Mapping[str, Any],
) -> None:
    """Write a canonical file and, beside it, what became of the rows (``….json``)."""

    def told() -> dict[str, Any]:
        return {**about, "account": account_table(account())}

    CanonicalWriter(path, tags).write(readings, told)
    write_json(path.with_suffix(".json"), canonical_facts(path))


def _read_index(path: Path) -> dict[str, list[Any]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def _plain(value: Any) -> Any:
    return vars(value) if hasattr(value, "__dict__") else str(value)
