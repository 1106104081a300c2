"""What a bundle says of itself: its folder comes in, a checked manifest goes out, without torch."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sensor_ad.errors import ModelError

FORMAT = 4
"""Version of the folder's make-up; raised when a program of before could not read it."""
MANIFEST, MANIFEST_HASH = "manifest.json", "manifest.sha256"
ARRAYS = "arrays.npz"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a bundle's manifest after checking its hash, without the libraries that the model needs.

    Raises
    ------
    ModelError
        The folder is not a bundle, or its manifest was changed.
    """
    manifest = folder / MANIFEST
    try:
        expected = (folder / MANIFEST_HASH).read_bytes()
        content = manifest.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{folder} is not a whole model: {_file_of(error, manifest)} is missing or unreadable; "
            "take another model (sensor-ad models list), or train again."
        ) from None
    if expected != f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n".encode():
        raise ModelError(damaged(folder, f"{MANIFEST} or {MANIFEST_HASH}"))
    table: dict[str, Any] = json.loads(content)
    if table["format"] != FORMAT:
        raise ModelError(
            f"{folder} has format {table['format']}, this program reads format {FORMAT}; use the "
            f"program that wrote it (sensor_ad {table['program']}), or train again."
        )
    return table


def check_bundle(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check every file of a bundle; gives its manifest and its arrays.

    Raises
    ------
    ModelError
        A file is missing, was added or changed.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest["files"])
    try:
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            return manifest, {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(damaged(folder, ARRAYS)) from error


def check_files(folder: Path, expected: dict[str, str]) -> None:
    """Compare a folder's files with the hashes expected."""
    there = {file.name for file in folder.iterdir()} - {MANIFEST, MANIFEST_HASH}
    for name in sorted(set(expected) - there):
        raise ModelError(
            f"the model in {folder} lacks its file {name}; restore it from a copy, take another "
            "model (sensor-ad models list), or train again."
        )
    for name in sorted(there - set(expected)):
        raise ModelError(
            f"the model in {folder} has a file {name} that does not belong to it; remove that file "
            "if you know where it came from, else train again."
        )
    for name, digest in expected.items():
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise ModelError(damaged(folder, name))


def damaged(folder: Path, name: str) -> str:
    """Say that a file is not as it was written."""
    return (
        f"the model in {folder} is damaged: {name} is not as it was written; restore it from a "
        "copy, take another model (sensor-ad models list), or train again."
    )


def _file_of(error: Exception, default: Path) -> str:
    return (
        Path(error.filename).name if isinstance(error, OSError) and error.filename else default.name
    )


def sha256(file: Path) -> str:
    """Hash one file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
