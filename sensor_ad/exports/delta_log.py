"""A Delta table's log in, its actions out: the newest checkpoint and every commit after it.

Follows https://github.com/delta-io/delta/blob/master/PROTOCOL.md, "Delta Log Entries",
"Checkpoints" and "Last Checkpoint File".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sensor_ad.errors import DataError
from sensor_ad.exports.columnar import DAMAGE, STREAMED, check_size, damaged
from sensor_ad.exports.tally import quoted

LOG = "_delta_log"
READ_FEATURES = frozenset({"timestampNtz", "vacuumProtocolCheck"})
"""Reader features that ask nothing of us: times without zone are the plant's, and we delete
nothing ("Timestamp without timezone", "Reader Requirements for Vacuum Protocol Check")."""
MOST_LOG_BYTES = 1 << 30
"""Commits since the newest checkpoint; writers make a checkpoint every ten commits by default."""

_COMMIT = re.compile(r"(\d{20})\.json")
_CLASSIC = re.compile(r"(\d{20})\.checkpoint\.parquet")
_PART = re.compile(r"(\d{20})\.checkpoint\.(\d{10})\.(\d{10})\.parquet")
_UUID_NAMED = re.compile(r"\d{20}\.checkpoint\.[0-9A-Za-z-]{36}\.(json|parquet)")
_CHECKPOINT_LEAVES = ("protocol", "metaData", "checkpointMetadata", "sidecar", "add.path")
_ADD_LEAVES = ("add.partitionValues", "add.size", "add.deletionVector")

Action = Mapping[str, Any]
"""One action of the log: its kind -> its fields."""


def versions(folder: Path) -> Iterator[tuple[int, list[Action]]]:
    """Yield the newest complete checkpoint, if there is one, and all commits after it."""
    log = folder / LOG
    commits, checkpoints = _list_log(folder)
    start = max(checkpoints, default=-1)
    newest = max([start, *commits])
    hinted = _last_checkpoint(folder)
    if newest < 0 or hinted > newest:
        found = "holds no version" if newest < 0 else f"ends at version {newest}"
        after = "" if newest < 0 else f", but _last_checkpoint names version {hinted}"
        raise DataError(
            f"{folder.name}: the Delta log {found}{after}; expected a whole log: copy the table "
            f"again with its folder {LOG}."
        )
    missing = [version for version in range(start + 1, newest + 1) if version not in commits]
    if missing:
        raise DataError(
            f"{folder.name}: the Delta log lacks version {missing[0]} ({missing[0]:020d}.json) and "
            "no checkpoint stands in for it, expected every version since the newest checkpoint: "
            f"copy the table again with its folder {LOG}."
        )
    if start >= 0:
        yield start, [action for path in checkpoints[start] for action in _checkpoint(path)]
    total = 0
    for version in range(start + 1, newest + 1):
        path = log / f"{version:020d}.json"
        total += path.stat().st_size
        if total > MOST_LOG_BYTES:
            raise DataError(
                f"{folder.name}: more than {MOST_LOG_BYTES >> 20} MiB of Delta log since the "
                "newest checkpoint, expected less: make a checkpoint, or export the table as "
                "plain Parquet."
            )
        yield version, _commit(path)


def _list_log(folder: Path) -> tuple[set[int], dict[int, list[Path]]]:
    """Return the versions of the commits, and the files of each complete checkpoint."""
    commits: set[int] = set()
    checkpoints: dict[int, list[Path]] = {}
    parts: dict[tuple[int, int], dict[int, Path]] = {}
    for path in sorted((folder / LOG).iterdir()):
        if commit := _COMMIT.fullmatch(path.name):
            commits.add(int(commit[1]))
        elif classic := _CLASSIC.fullmatch(path.name):
            checkpoints[int(classic[1])] = [path]
        elif part := _PART.fullmatch(path.name):
            parts.setdefault((int(part[1]), int(part[3])), {})[int(part[2])] = path
        elif _UUID_NAMED.fullmatch(path.name):
            raise unsupported(folder.name, "the feature 'v2Checkpoint'")
    for (version, count), files in parts.items():
        # "readers must ignore multi-part checkpoints with missing parts"
        if set(files) == set(range(1, count + 1)):
            checkpoints.setdefault(version, [files[k] for k in sorted(files)])
    return commits, checkpoints


def _last_checkpoint(folder: Path) -> int:
    """Return the version that `_last_checkpoint` names, -1 without one; it is only a hint."""
    try:
        return int(json.loads((folder / LOG / "_last_checkpoint").read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return -1


def _commit(path: Path) -> list[Action]:
    actions: list[Action] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                action = json.loads(line)
            except (ValueError, RecursionError):
                action = None
            fields = action.values() if isinstance(action, dict) else [0]
            if not all(isinstance(field, dict) or field is None for field in fields):
                raise DataError(
                    f"{path.name}, line {number}: {quoted(line[:40].decode('utf-8', 'replace'))} "
                    "is no action of a Delta log, expected one JSON object in each line: copy the "
                    "table again."
                )
            actions.append(action)
    return actions


def _checkpoint(path: Path) -> list[Action]:
    """Read the actions of a checkpoint's file; its removes are only there for cleaning up."""
    actions: list[Action] = []
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, **STREAMED) as file:
            check_size(path, file.metadata)
            # older writers leave out the columns that they have no use for
            leaves = (*_CHECKPOINT_LEAVES, *_ADD_LEAVES)
            for batch in file.iter_batches(10_000, columns=list(leaves)):
                batch.validate(full=True)
                actions += batch.to_pylist()
    except DAMAGE as fault:
        raise damaged(path.name, fault) from None
    return actions


def unsupported(name: str, what: str) -> DataError:
    """Return the refusal of a table that needs what we lack."""
    return DataError(
        f"{name}: this Delta table uses {what}, which is not read here; expected reader version "
        f"1, or no reader features but {', '.join(sorted(READ_FEATURES))}: drop the feature, or "
        "export the table as plain Parquet."
    )
